package etcd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// walState is the state that a write-ahead log describes.
type walState struct {
	last      uint64 // last entry
	snapshot  uint64 // entry of the newest snapshot that the log names
	committed uint64
	begun     bool // an entry or a snapshot was read
}

// Sizes in a write-ahead log: each frame is a length, a record, and zeros up to a multiple of 8 bytes.
const (
	frameHead   = 8
	frameSector = 512 // the disk writes a sector whole or not at all
)

// proveWAL reads every record and verifies its checksum. The server takes any unreadable record for a write that a
// crash cut off, and truncates its log there, even if a flipped bit in a length is the cause and acknowledged entries
// follow. proveWAL accepts only what a crash can leave: a frame with a correct length that lacks sectors or its end,
// with nothing after it.
func proveWAL(dir string) (s walState, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return s, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wal") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return s, fmt.Errorf("it has no files: %w", fs.ErrNotExist)
	}
	var crc uint32
	var before uint64
	for i, name := range names {
		var seq, index uint64
		if n, err := fmt.Sscanf(name, "%016x-%016x.wal", &seq, &index); n != 2 || err != nil {
			return s, fmt.Errorf("%s is not one of its files", name)
		}
		if i > 0 && seq != before+1 {
			return s, fmt.Errorf("the file before %s is missing", name)
		}
		before = seq
		if crc, err = s.read(filepath.Join(dir, name), crc, i == len(names)-1); err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case !s.begun:
		return s, errors.New("it has no valid beginning")
	case s.committed > s.last:
		return s, fmt.Errorf("it ends with entry %d, but entry %d was committed", s.last, s.committed)
	}
	return s, nil
}

// read reads one file. crc is the running checksum at its start; read returns the checksum at its end.
func (s *walState) read(path string, crc uint32, last bool) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	d := wal.NewDecoder(fileutil.NewFileReader(f))
	d.UpdateCRC(crc)
	for {
		at := d.LastOffset()
		var r walpb.Record
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			if err := restIsZero(f, at); err != nil {
				return 0, err
			}
			return d.LastCRC(), nil
		case err != nil:
			if !last {
				return 0, fmt.Errorf("the record at byte %d is damaged, and more files follow: %w", at, err)
			}
			return 0, torn(f, at)
		}
		if err := s.take(d, &r); err != nil {
			return 0, fmt.Errorf("the record at byte %d: %w", at, err)
		}
	}
}

// take processes a record with a correct checksum.
func (s *walState) take(d wal.Decoder, r *walpb.Record) error {
	switch r.GetType() {
	case wal.CrcType:
		if crc := d.LastCRC(); crc != 0 && r.GetCrc() != crc {
			return errors.New("its checksum does not follow from the records before it")
		}
		d.UpdateCRC(r.GetCrc())
	case wal.EntryType:
		var e raftpb.Entry
		if err := proto.Unmarshal(r.GetData(), &e); err != nil {
			return err
		}
		if s.begun && e.GetIndex() > s.last+1 {
			return fmt.Errorf("entry %d follows entry %d", e.GetIndex(), s.last)
		}
		s.last, s.begun = e.GetIndex(), true
	case wal.StateType:
		var h raftpb.HardState
		if err := proto.Unmarshal(r.GetData(), &h); err != nil {
			return err
		}
		s.committed = h.GetCommit()
	case wal.SnapshotType:
		var n walpb.Snapshot
		if err := proto.Unmarshal(r.GetData(), &n); err != nil {
			return err
		}
		s.snapshot, s.begun = n.GetIndex(), true
		s.last = max(s.last, n.GetIndex())
	case wal.MetadataType:
	default:
		return fmt.Errorf("it has the unknown type %d", r.GetType())
	}
	return nil
}

// torn returns nil if the frame at byte at is an unfinished write that a crash left.
func torn(f *os.File, at int64) error {
	damage := fmt.Errorf("the record at byte %d is damaged", at)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	rest := make([]byte, info.Size()-at)
	if _, err := f.ReadAt(rest, at); err != nil {
		return err
	}
	if len(rest) < frameHead {
		return nil // the file ends within a length
	}
	word := binary.LittleEndian.Uint64(rest)
	n, pad := word&(1<<56-1), word>>56&7
	if flags := word >> 56; n == 0 || pad != -n&7 || flags != 0 && flags != 0x80|pad || flags == 0 && pad != 0 {
		return damage
	}
	body := rest[frameHead:min(frameHead+n+pad, uint64(len(rest)))]
	behind := rest[frameHead+len(body):]
	if !isZero(behind) || !lengthIs(body, n) {
		return damage
	}
	if uint64(len(body)) < n { // the file ends within the frame
		return nil
	}
	for from := 0; from < len(body); { // sectors of the file
		size := min(frameSector-int(at+frameHead+int64(from))%frameSector, len(body)-from)
		if isZero(body[from : from+size]) {
			return nil
		}
		from += size
	}
	return damage
}

// lengthIs reports whether the readable part of a record is consistent with a length of n bytes.
func lengthIs(body []byte, n uint64) bool {
	for at := 0; ; {
		number, kind, size := protowire.ConsumeTag(body[at:])
		if size < 0 {
			return isZero(body[at:]) // a sector that was not written
		}
		at += size
		if number == 3 { // data, the last field
			length, size := protowire.ConsumeVarint(body[at:])
			return size > 0 && uint64(at+size)+length == n || size < 0
		}
		if number > 3 || kind != protowire.VarintType {
			return false
		}
		_, size = protowire.ConsumeVarint(body[at:])
		if size < 0 {
			return true
		}
		if at += size; uint64(at) == n {
			return true // a record without data
		}
	}
}

// restIsZero returns an error if anything but zeros follows a file's records.
func restIsZero(f *os.File, at int64) error {
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := f.Read(buf)
		if !isZero(buf[:n]) {
			return fmt.Errorf("its records end at byte %d, but other bytes follow", at)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var zeros [4096]byte

func isZero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if !bytes.Equal(b[:n], zeros[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}
