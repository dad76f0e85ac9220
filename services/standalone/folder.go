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

// The files in the data directory. Signrelay does not touch other files in it.
const (
	lockFile     = "lock"
	brokerFolder = "nats"              // the streams
	passwordFile = "nats.password"     // of brokerUser
	masterFile   = "master.key"        // the master_key, if the settings have none
	runningFile  = "running"           // the start of a run; removed after its orderly end
	demoKeyFile  = "demo-esign-v1.pem" // of the demo's esign-v1 source
	archiveDir   = "archive"           // the files of completed documents, if the settings have no other place
	indexDir     = "index"             // the search index, if the settings have no other place
)

// forbidden lists, for each of our files, the permission bits that other users must not have.
var forbidden = map[string]fs.FileMode{
	lockFile:           0o022,
	brokerFolder:       0o022,
	passwordFile:       0o077,
	masterFile:         0o077,
	runningFile:        0o022,
	demoKeyFile:        0o077,
	archiveDir:         0o022,
	indexDir:           0o077,
	SandboxKey:         0o077,
	SandboxCertificate: 0o022,
}

// folder is a folder with secrets: the data directory, or the folder of a sandbox's key. Only the user who runs Signrelay may write to it,
// because any other writer could set the broker's password. Symbolic links are not followed.
type folder struct {
	path string
	root *os.Root
}

// makeFolder opens the folder, or creates it, and makes it unreadable for other users.
func makeFolder(path string) (*folder, error) {
	if path == "" {
		return nil, errors.New("name a folder, such as ./data")
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(path)), 0o700); err != nil {
		return nil, fmt.Errorf("create the folder: %w", err)
	}
	if err := os.Mkdir(filepath.Clean(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create the folder: %w", err)
	}
	f, err := openFolder(path, os.Geteuid())
	if err != nil {
		return nil, err
	}
	err = f.checkReaders()
	if err == nil {
		err = f.root.Chmod(".", 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// checkReaders refuses a folder that other users may read and that contains other files, such as /var/lib. It accepts an empty folder, or one
// with our files, and makes it private, because mkdir and Docker create folders that all users can read.
func (f *folder) checkReaders() error {
	info, err := f.root.Stat(".")
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil || len(entries) == 0 || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return forbidden[e.Name()] != 0 }) {
		return err
	}
	return fmt.Errorf("other users may read %s (mode %04o), and its files are not Signrelay's: set a new folder below it, or chmod 700 it", f.path, info.Mode().Perm())
}

// openFolder opens an existing folder, and checks it and our files in it. The error is fs.ErrNotExist if there is no folder.
func openFolder(path string, owner int) (*folder, error) {
	path = filepath.Clean(path)
	seen, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := checkOwner(path, seen, owner); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path, root}
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(seen, opened) {
		err = fmt.Errorf("%s was replaced while it was being opened", path)
	}
	if err == nil {
		err = f.checkFiles(owner)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// checkOwner checks the type, the owner and the permissions of the folder itself.
func checkOwner(path string, info fs.FileInfo, owner int) error {
	switch is := ownerOf(info); {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link: set the folder to which it leads", path)
	case !info.IsDir():
		return errors.New("it is a file: want a folder")
	case is != owner:
		return fmt.Errorf("%s belongs to the user with the id %d, and this process is the user %d: run it as that user, give the folder to this one (chown), "+
			"or set a new folder below it", path, is, owner)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("other users may write to %s (mode %04o), and could change the broker's password: check that all files in it are yours, then chmod 700 it", path, info.Mode().Perm())
	default:
		return nil
	}
}

// checkFiles checks our files in the folder.
func (f *folder) checkFiles(owner int) error {
	var errs []error
	for name, bits := range forbidden {
		info, err := f.root.Lstat(name)
		path := filepath.Join(f.path, name)
		isFolder := name == brokerFolder || name == archiveDir || name == indexDir
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case info.Mode()&fs.ModeSymlink != 0:
			errs = append(errs, fmt.Errorf("%s is a symbolic link: replace it with its target", path))
		case isFolder && !info.IsDir(), !isFolder && !info.Mode().IsRegular():
			errs = append(errs, fmt.Errorf("%s was not created by Signrelay: remove it", path))
		case ownerOf(info) != owner:
			errs = append(errs, fmt.Errorf("%s belongs to the user with the id %d, and its folder to %d: remove it, or chown it if you put it there", path, ownerOf(info), owner))
		case info.Mode().Perm()&bits != 0 && bits&0o044 != 0:
			errs = append(errs, fmt.Errorf("other users may read %s (mode %04o): chmod 600 it; if others use this machine, remove it, and Signrelay creates a new one", path, info.Mode().Perm()))
		case info.Mode().Perm()&bits != 0:
			errs = append(errs, fmt.Errorf("other users may write to %s (mode %04o): check that it is yours, then chmod go-w it", path, info.Mode().Perm()))
		case name == brokerFolder:
			errs = append(errs, f.checkStreams())
		}
	}
	return errors.Join(errs...)
}

// checkStreams refuses links and special files in the broker's folder, at any depth. The broker opens every file there and follows links, so a
// link could redirect its streams. A running broker may remove files during the check.
func (f *folder) checkStreams() error {
	return fs.WalkDir(f.root.FS(), brokerFolder, func(name string, entry fs.DirEntry, err error) error {
		switch path := filepath.Join(f.path, name); {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.Type()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s is a symbolic link: replace it with its target", path)
		case !entry.IsDir() && !entry.Type().IsRegular():
			return fmt.Errorf("%s was not created by Signrelay: remove it", path)
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

// read returns the content of one of our files, which openFolder has checked.
func (f *folder) read(name string) ([]byte, error) { return f.root.ReadFile(name) }

// write creates a file that only we can read. The file is written completely or not at all.
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

// text returns the line in one of our files, or an empty text if there is no such file.
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

// secret returns the line in a file, and creates a missing file with two texts of rand.Text: 52 characters, 260 random bits.
func (f *folder) secret(name string) (string, error) {
	text, err := f.text(name)
	if err != nil || text != "" {
		return text, err
	}
	text = rand.Text() + rand.Text()
	return text, f.write(name, []byte(text+"\n"))
}

// brokerUser is the only user of the embedded server if the settings name none. It has all permissions.
const brokerUser = "signrelay"

// addSecrets adds the embedded server's password and the master key to the settings, and creates missing ones. A data directory with streams
// but without a master key stays without one, because its data was stored without it.
func (f *folder) addSecrets(cfg config.Config) (config.Config, error) {
	var err error
	if cfg.NATS.User == "" {
		cfg.NATS.User = brokerUser
		if cfg.NATS.Password, err = f.secret(passwordFile); err != nil {
			return cfg, fmt.Errorf("the broker's password: %w", err)
		}
	}
	if cfg.MasterKey == "" && !f.has(brokerFolder) {
		if _, err := f.secret(masterFile); err != nil {
			return cfg, fmt.Errorf("the master key: %w", err)
		}
	}
	return f.addMasterKey(cfg)
}

// addMasterKey adds the data directory's master key to those of the settings, as the oldest one. So data that was stored with it is still
// found if the settings have a newer key.
func (f *folder) addMasterKey(cfg config.Config) (config.Config, error) {
	text, err := f.text(masterFile)
	if err != nil {
		return cfg, fmt.Errorf("the master key: %w", err)
	}
	cfg.MasterKey = strings.TrimSpace(cfg.MasterKey + "\n" + text)
	return cfg, nil
}

// checkDataDir returns the mistakes in the data directory that would stop a start.
func checkDataDir(path string) error {
	f, err := openFolder(path, os.Geteuid())
	switch {
	case errors.Is(err, fs.ErrNotExist), path == "": // the start creates the folder; another check refuses an empty path
		return nil
	case err != nil:
		return dataDirError(err)
	}
	err = f.checkReaders()
	if err := errors.Join(err, f.close()); err != nil {
		return dataDirError(err)
	}
	return nil
}

// dataDirError puts the name of the setting before each line of an error.
func dataDirError(err error) error {
	return errors.New("data_dir: " + strings.ReplaceAll(err.Error(), "\n", "\ndata_dir: "))
}

// Reach returns settings with which a command reaches the embedded server of a running standalone: its address and, from the data directory,
// its password and master key. If it cannot read them, it still returns the address. It returns settings with nats.url unchanged.
func Reach(cfg config.Config) (config.Config, error) {
	if cfg.NATS.URL != "" {
		return cfg, nil
	}
	cfg.NATS.URL, cfg.NATS.Embedded = "nats://"+cfg.NATS.Addr, true
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
		return cfg, fmt.Errorf("data_dir: %s is missing; `signrelay run` creates it: start it, or set SIGNRELAY_DATA_DIR to its folder; "+
			"for your own NATS server set SIGNRELAY_NATS_URL", filepath.Join(cfg.DataDir, passwordFile))
	case errors.Is(err, fs.ErrPermission):
		return cfg, fmt.Errorf("data_dir: %w: run this as the user who runs `signrelay run`", err)
	default:
		return cfg, dataDirError(err)
	}
}

// Login describes the user and the password of the embedded server, without printing the password.
func Login(cfg config.Config) string {
	if cfg.NATS.User != "" {
		return fmt.Sprintf("user %s, with the password in the settings", cfg.NATS.User)
	}
	return fmt.Sprintf("user %s, password in %s", brokerUser, filepath.Join(cfg.DataDir, passwordFile))
}

// readDataDir opens the data directory for a command. root may read the directory of any user.
func readDataDir(path string) (*folder, error) {
	owner := os.Geteuid()
	if info, err := os.Lstat(filepath.Clean(path)); err == nil && owner == 0 {
		owner = ownerOf(info)
	}
	return openFolder(path, owner)
}
