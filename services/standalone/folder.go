package standalone

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/signrelay/signrelay/libs/config"
)

// What is in the data directory. Other files in it are not ours, and are left alone.
const (
	lockFile     = "lock"
	brokerFolder = "nats"              // the streams
	passwordFile = "nats.password"     // of brokerUser
	masterFile   = "master.key"        // master_key, where the settings have none
	demoKeyFile  = "demo-esign-v1.pem" // of the demo's esign-v1 source
)

// forbidden are the permission bits that other users must not have, for each of our files.
var forbidden = map[string]fs.FileMode{
	lockFile:           0o022,
	brokerFolder:       0o022,
	passwordFile:       0o077,
	masterFile:         0o077,
	demoKeyFile:        0o077,
	SandboxKey:         0o077,
	SandboxCertificate: 0o022,
}

// folder is a folder that holds secrets: the data directory, or that of a sandbox's key. It belongs to the user who runs Signrelay
// alone, because any other user who could write to it could choose the broker's password. Symbolic links are not followed.
type folder struct {
	path string
	root *os.Root
}

// makeFolder opens the folder, and makes it where it is missing. From then on no other user can read it.
func makeFolder(path string) (*folder, error) {
	if path == "" {
		return nil, errors.New("name a folder, such as ./data")
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(path)), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	if err := os.Mkdir(filepath.Clean(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	f, err := openFolder(path, os.Geteuid())
	if err != nil {
		return nil, err
	}
	err = f.judgeReaders()
	if err == nil {
		err = f.root.Chmod(".", 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// judgeReaders says why a folder that other users may read cannot be closed to them: it has files of others, as /var/lib has. A folder that
// is empty or ours can: mkdir and Docker make folders that all can read.
func (f *folder) judgeReaders() error {
	info, err := f.root.Stat(".")
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil || len(entries) == 0 || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return forbidden[e.Name()] != 0 }) {
		return err
	}
	return fmt.Errorf("other users may read %s (mode %04o), and what is in it is not Signrelay's: name a new folder below it, or chmod 700 it", f.path, info.Mode().Perm())
}

// openFolder opens a folder that is there, and says what is wrong with it or with a file of ours in it. Its error is an fs.ErrNotExist
// where there is no folder.
func openFolder(path string, owner int) (*folder, error) {
	path = filepath.Clean(path)
	seen, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := judge(path, seen, owner); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path, root}
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(seen, opened) {
		err = fmt.Errorf("%s was replaced while it was opened", path)
	}
	if err == nil {
		err = f.judgeFiles(owner)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// judge says what is wrong with the folder itself.
func judge(path string, info fs.FileInfo, owner int) error {
	switch is := ownerOf(info); {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link: name the folder that it leads to", path)
	case !info.IsDir():
		return errors.New("it names a file: want a folder")
	case is != owner:
		return fmt.Errorf("%s belongs to the user with the id %d, and this process is the user %d: run it as that user, give the folder to this one (chown), "+
			"or name a new folder below it", path, is, owner)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("other users may write to %s (mode %04o), and choose what is believed here: see that all in it is yours, then chmod 700 it", path, info.Mode().Perm())
	default:
		return nil
	}
}

// judgeFiles says what is wrong with our files in it.
func (f *folder) judgeFiles(owner int) error {
	var errs []error
	for name, bits := range forbidden {
		info, err := f.root.Lstat(name)
		path := filepath.Join(f.path, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case info.Mode()&fs.ModeSymlink != 0:
			errs = append(errs, fmt.Errorf("%s is a symbolic link: put what it leads to in its place", path))
		case name == brokerFolder && !info.IsDir(), name != brokerFolder && !info.Mode().IsRegular():
			errs = append(errs, fmt.Errorf("%s is not what Signrelay made: remove it", path))
		case ownerOf(info) != owner:
			errs = append(errs, fmt.Errorf("%s belongs to the user with the id %d, and its folder to %d: remove it, or chown it if you put it there", path, ownerOf(info), owner))
		case info.Mode().Perm()&bits != 0 && bits&0o044 != 0:
			errs = append(errs, fmt.Errorf("other users may read %s (mode %04o): chmod 600 it; if others use this machine, remove it, and a new one is made", path, info.Mode().Perm()))
		case info.Mode().Perm()&bits != 0:
			errs = append(errs, fmt.Errorf("other users may write to %s (mode %04o): see that it is yours, then chmod go-w it", path, info.Mode().Perm()))
		case name == brokerFolder:
			errs = append(errs, f.judgeStreams())
		}
	}
	return errors.Join(errs...)
}

// judgeStreams refuses whatever the broker did not make in its folder, at any depth: it opens what is there, and follows links, so its
// streams would be where a link leads. A running broker removes files meanwhile.
func (f *folder) judgeStreams() error {
	return fs.WalkDir(f.root.FS(), brokerFolder, func(name string, entry fs.DirEntry, err error) error {
		switch path := filepath.Join(f.path, name); {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s is a symbolic link: put what it leads to in its place", path)
		case !entry.IsDir() && !entry.Type().IsRegular():
			return fmt.Errorf("%s is not what Signrelay made: remove it", path)
		default:
			return nil
		}
	})
}

func ownerOf(info fs.FileInfo) int {
	about, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(about.Uid)
}

func (f *folder) close() error { return f.root.Close() }

func (f *folder) has(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
}

// read returns a file of ours, which openFolder has judged.
func (f *folder) read(name string) ([]byte, error) { return f.root.ReadFile(name) }

// write makes a file that only we can read. It is there as a whole or not at all.
func (f *folder) write(name string, data []byte) error {
	unfinished := name + ".new"
	if err := f.root.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.root.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return f.root.Rename(unfinished, name)
}

// text returns the line in a file of ours, or an empty text where there is no such file.
func (f *folder) text(name string) (string, error) {
	data, err := f.read(name)
	text := strings.TrimSpace(string(data))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case text == "":
		return "", fmt.Errorf("%s is empty: restore it from a backup, or remove it", filepath.Join(f.path, name))
	default:
		return text, nil
	}
}

// made is text, and makes the file up where it is missing: 256 random bits, of which rand.Text writes 130 in 26 characters.
func (f *folder) made(name string) (string, error) {
	text, err := f.text(name)
	if err != nil || text != "" {
		return text, err
	}
	text = rand.Text() + rand.Text()
	return text, f.write(name, []byte(text+"\n"))
}

// brokerUser is the only user of the embedded server where the settings name none. It may do everything there.
const brokerUser = "signrelay"

// keep fills in the password of the embedded server and the master key, and makes up those that are missing. A data directory that holds
// streams and no master key goes on without one, because what is stored there was stored without it.
func (f *folder) keep(cfg config.Config) (config.Config, error) {
	var err error
	if cfg.NATS.User == "" {
		cfg.NATS.User = brokerUser
		if cfg.NATS.Password, err = f.made(passwordFile); err != nil {
			return cfg, fmt.Errorf("the broker's password: %w", err)
		}
	}
	if cfg.MasterKey == "" && !f.has(brokerFolder) {
		if _, err := f.made(masterFile); err != nil {
			return cfg, fmt.Errorf("the master key: %w", err)
		}
	}
	return f.addMasterKey(cfg)
}

// addMasterKey adds the data directory's master key to those of the settings, as the oldest: what it made is still found when the settings
// name a newer one.
func (f *folder) addMasterKey(cfg config.Config) (config.Config, error) {
	text, err := f.text(masterFile)
	if err != nil {
		return cfg, fmt.Errorf("the master key: %w", err)
	}
	cfg.MasterKey = strings.TrimSpace(cfg.MasterKey + "\n" + text)
	return cfg, nil
}

// checkDataDir says what of the data directory would stop a start.
func checkDataDir(path string) error {
	f, err := openFolder(path, os.Geteuid())
	switch {
	case errors.Is(err, fs.ErrNotExist), path == "": // it is made; an empty path is refused elsewhere
		return nil
	case err != nil:
		return dataDirError(err)
	}
	err = f.judgeReaders()
	if err := errors.Join(err, f.close()); err != nil {
		return dataDirError(err)
	}
	return nil
}

// dataDirError puts the setting's name before each line of an error.
func dataDirError(err error) error {
	return errors.New("data_dir: " + strings.ReplaceAll(err.Error(), "\n", "\ndata_dir: "))
}

// Reach returns the settings with which a command reaches the embedded server of a running standalone: its address, and from the data
// directory its password and its master key. Where it cannot read them, it still returns the address. Settings that name a
// server come back as they are.
func Reach(cfg config.Config) (config.Config, error) {
	if cfg.NATS.URL != "" {
		return cfg, nil
	}
	cfg.NATS.URL = "nats://" + cfg.NATS.Addr
	f, err := readDataDir(cfg.DataDir)
	if err == nil {
		defer func() { _ = f.close() }()
		var password string
		password, err = f.text(passwordFile)
		if err == nil && password == "" {
			err = fs.ErrNotExist
		}
		if err == nil && cfg.NATS.User == "" {
			cfg.NATS.User, cfg.NATS.Password = brokerUser, password
		}
		if err == nil {
			cfg, err = f.addMasterKey(cfg)
		}
	}
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist) && cfg.NATS.User != "":
		return cfg, nil
	case errors.Is(err, fs.ErrNotExist):
		return cfg, fmt.Errorf("data_dir: %s is missing, which `signrelay run` makes: start it, or set SIGNRELAY_DATA_DIR to its folder; "+
			"for a NATS server of your own set SIGNRELAY_NATS_URL", filepath.Join(cfg.DataDir, passwordFile))
	case errors.Is(err, fs.ErrPermission):
		return cfg, fmt.Errorf("data_dir: %w: run this as the user who runs `signrelay run`", err)
	default:
		return cfg, dataDirError(err)
	}
}

// Login says, for people, with which user and password one reaches the embedded server.
func Login(cfg config.Config) string {
	if cfg.NATS.User != "" {
		return fmt.Sprintf("user %s, with its password of the settings", cfg.NATS.User)
	}
	return fmt.Sprintf("user %s, password in %s", brokerUser, filepath.Join(cfg.DataDir, passwordFile))
}

// readDataDir opens the data directory for a command. The administrator may read anybody's.
func readDataDir(path string) (*folder, error) {
	owner := os.Geteuid()
	if info, err := os.Lstat(filepath.Clean(path)); err == nil && owner == 0 {
		owner = ownerOf(info)
	}
	return openFolder(path, owner)
}
