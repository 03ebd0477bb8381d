// Package testpb holds the messages of the gateway's tests.
package testpb

//go:generate protoc -I ../../.. --go_out=../../.. --go_opt=paths=source_relative gateway/internal/testpb/test.proto
