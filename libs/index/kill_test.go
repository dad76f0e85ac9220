package index_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/signrelay/signrelay/libs/index"
	"github.com/signrelay/signrelay/libs/realtest"
)

// killedIndex has the address of the index that the process writes which TestAKilledWriterLeavesWholeBatches kills.
const killedIndex = "SIGNRELAY_TEST_KILLED_INDEX"

// TestWriteUntilKilled is that process.
func TestWriteUntilKilled(t *testing.T) {
	t.Parallel()
	address := os.Getenv(killedIndex)
	if address == "" {
		t.Skip("TestAKilledWriterLeavesWholeBatches runs it")
	}
	i := open(t, address)
	for number := uint64(1); ; number += 20 {
		b := index.Batch{Position: index.Position{Sequence: number + 19, At: start}}
		for n := number; n < number+20; n++ {
			b.Rows = append(b.Rows, one(n, fmt.Sprint("d", n), "title", index.Person{FirstName: "Ann", Email: fmt.Sprintf("a%d@acme.example", n)}))
		}
		if err := i.Apply(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		fmt.Println("applied")
	}
}

// TestAKilledWriterLeavesWholeBatches: after kill -9 in the middle of its work, the documents are those up to the position, and no other.
func TestAKilledWriterLeavesWholeBatches(t *testing.T) {
	t.Parallel()
	realtest.Server(t, "a process that writes")
	databases(t, func(t *testing.T, address string) {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriteUntilKilled$")
		child.Env = append(os.Environ(), killedIndex+"="+address)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 25 && lines.Scan(); n++ {
		}
		_ = child.Process.Kill()
		_ = child.Wait()
		i := open(t, address)
		at, err := i.Position(t.Context())
		if err != nil || at.Sequence < 20*20 {
			t.Fatalf("position %d, %v", at.Sequence, err)
		}
		for _, q := range []index.Query{{}, {Text: "title"}, {Text: "ann"}, {State: "waiting"}} {
			if p := find(t, i, q); p.Total != int(at.Sequence) {
				t.Errorf("%+v: %d documents at position %d", q, p.Total, at.Sequence)
			}
		}
		apply(t, i, one(at.Sequence+1, "next", "another")) // the lock is free
	})
}
