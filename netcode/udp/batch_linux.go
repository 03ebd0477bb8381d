package udp

import "golang.org/x/net/ipv4"

func (s *Socket) read(ms []ipv4.Message) (int, error)  { return s.batch.ReadBatch(ms, 0) }
func (s *Socket) write(ms []ipv4.Message) (int, error) { return s.batch.WriteBatch(ms, 0) }
