package analyzer_test

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/ferris1/wind/cmd/windvet/analyzer"
)

func TestEachRuleFindsItsTraps(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), analyzer.Analyzer,
		"clock", "random", "order", "concurrent", "inout", "state", "fused", "transcendental", "convert",
		"allow", "sorting", "address", "directive", "mygame/systems", "captured", "readonly", "tags")
}

func TestReachesWhatSystemsCall(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), analyzer.Analyzer, "helper", "reach")
}

func TestFixesRoundEachProduct(t *testing.T) {
	analysistest.RunWithSuggestedFixes(t, analysistest.TestData(), analyzer.Analyzer, "fixes")
}
