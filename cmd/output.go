package cmd

import (
	"io"
	"os"
	"sync"
)

// output passes writes on to w, one at a time: a verb's banner, its log and its status line come from different goroutines.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer. It is safe for concurrent use.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(b)
}

// terminal reports whether a person watches the output.
func (o *output) terminal() bool {
	f, ok := o.w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
