// Package testpb holds the messages of the gateway's tests.
package testpb

//go:generate protoc -I . -I ../../.. --go_out=. --go_opt=paths=source_relative test.proto
