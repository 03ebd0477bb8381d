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

// Sight is one line of a trace: an update that a client saw. The log held it before the client saw it.
type Sight struct {
	Bot      int    `json:"bot"`
	Tick     uint64 `json:"tick"`
	Checksum string `json:"checksum"` // of the whole world, 16 hexadecimal digits
	Epoch    uint64 `json:"epoch"`
	Seq      uint64 `json:"seq"` // the record that holds the tick
}

// Trace records every update that any client of a fleet sees, one JSON object per line. Its methods may be called
// concurrently. It flushes lines every 64 KiB and in Close.
type Trace struct {
	mu   sync.Mutex
	file *os.File
	out  *bufio.Writer
	err  error
}

// CreateTrace creates the file, or truncates it.
func CreateTrace(path string) (*Trace, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("cannot write the trace: %w", err)
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

// Close flushes the trace and returns its first error.
func (t *Trace) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = t.out.Flush()
	}
	return errors.Join(t.err, t.file.Close())
}

// ReadTrace calls yield for every line. It skips a torn last line, which a kill can leave.
func ReadTrace(in io.Reader, yield func(Sight) error) error {
	lines := bufio.NewScanner(in)
	var torn error
	for lines.Scan() {
		if torn != nil {
			return torn
		}
		var s Sight
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			torn = fmt.Errorf("fleet: malformed line in the trace: %w", err)
			continue
		}
		if err := yield(s); err != nil {
			return err
		}
	}
	return lines.Err()
}
