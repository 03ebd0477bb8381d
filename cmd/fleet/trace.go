package fleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/ferris1/wind/netcode/client"
)

// Sight is one line of a trace: an update that a client saw. Everything in it was in the log before.
type Sight struct {
	Bot      int    `json:"bot"`
	Tick     uint64 `json:"tick"`
	Checksum string `json:"checksum"` // of the whole world, 16 hexadecimal digits
	Epoch    uint64 `json:"epoch"`
	Seq      uint64 `json:"seq"` // the record that holds the tick
}

// Trace writes down every update that any client of a fleet sees, one JSON object per line. Its methods may be called
// concurrently. Lines are flushed when Close is called and every 64 KiB.
type Trace struct {
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
	err  error
}

// CreateTrace makes the file, or empties it.
func CreateTrace(path string) (*Trace, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("the trace cannot be written: %w", err)
	}
	return &Trace{file: f, out: bufio.NewWriterSize(f, 64<<10)}, nil
}

func (t *Trace) saw(bot int, u client.Update) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, `{"bot":%d,"tick":%d,"checksum":"%016x","epoch":%d,"seq":%d}`+"\n", bot, u.Tick, u.Checksum, u.Epoch, u.Durable)
	}
}

// Close writes what is left and returns the first error of the whole trace.
func (t *Trace) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = t.out.Flush()
	}
	return errors.Join(t.err, t.file.Close())
}

// ReadTrace calls yield for every line. A last line that a kill cut short is left out.
func ReadTrace(in io.Reader, yield func(Sight) error) error {
	lines := bufio.NewScanner(in)
	var torn error
	for lines.Scan() {
		if torn != nil {
			return torn
		}
		var s Sight
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			torn = fmt.Errorf("fleet: a line of the trace is no sight: %w", err)
			continue
		}
		if err := yield(s); err != nil {
			return err
		}
	}
	return lines.Err()
}
