package cmd

import (
	"fmt"
	"os"
	"path/filepath"
)

// canWrite returns an error if path is a folder, or is in none: no file can be written there.
func canWrite(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: name a file", path)
	}
	dir := filepath.Dir(path)
	if err := notBelowFile(dir); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("there is no folder %s: make it, or name another", dir)
	}
	return nil
}

// notBelowFile returns an error if path or a folder above it is a file: no folder can be made there.
func notBelowFile(path string) error {
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() && dir == filepath.Clean(path) {
			return fmt.Errorf("%s is a file: name a folder", path)
		}
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is a file, so there can be no folder %s: name another", dir, path)
		}
		if err == nil || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// nearestFolder returns path, or what there is of the folders above it.
func nearestFolder(path string) string {
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
	}
}
