package cmd

import (
	"fmt"
	"testing"
)

// TestTheFirstAddressIsForClients: the label stands in the first line, whichever address that has, and each line says how to
// join there.
func TestTheFirstAddressIsForClients(t *testing.T) {
	for addrs, want := range map[[2]string]string{
		{"u", "t"}: "[[clients u UDP (KCP and datagrams): wind bots --addr u] [ t TCP, the same frames]]",
		{"u", ""}:  "[[clients u UDP (KCP and datagrams): wind bots --addr u]]",
		{"", "t"}:  "[[clients t TCP: wind bots --transport tcp --addr t]]",
	} {
		if got := fmt.Sprint(clientLines(addrs[0], addrs[1])); got != want {
			t.Errorf("%q: %s, want %s", addrs, got, want)
		}
	}
}
