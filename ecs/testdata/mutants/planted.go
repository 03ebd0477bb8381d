package ecs

import (
	"os"
	"strconv"
)

// planted is the number of the defect that this process has, 0 for none. TestEveryMutantIsNoticed builds the package
// with this file and with a condition at each place where a defect may be planted.
var planted, _ = strconv.Atoi(os.Getenv("WIND_MUTANT"))

// skipEmptyTable skips a table without rows.
func skipEmptyTable(r *reader) bool {
	ahead := reader{b: r.b}
	for range ahead.count(1) {
		ahead.uvarint()
	}
	if ahead.count(1) > 0 || ahead.err != nil {
		return false
	}
	r.b = ahead.b
	return true
}
