package ecs

// mutation names a deliberate defect. The property tests enable one, which breaks this package, and check that the
// property fails: a test that cannot fail proves nothing. Nothing else ever sets it, and no loop over values checks it.
type mutation uint8

const (
	intact             mutation = iota
	tableNotRestored            // an emptied table is left out of a restored world
	paddingHashed               // bytes between the fields take part in comparison and hash
	transientsKept              // transients are not zeroed when a tick begins
	removalNotRecorded          // the delta leaves out that a component was removed
	touchNotCarried             // a write before a structural change is lost with the old table
	freeSlotsReversed           // a restored world hands out the free slots in a different order
	poolNotRolledBack           // a failed system's entities do not return to the pool
	nansKept                    // NaNs stay as the machine made them
	inputsNotSaved              // a snapshot leaves out the sessions' last inputs
	sequenceIgnored             // a command is applied every time it arrives
	resourceNotInDelta          // the delta leaves out the resources
	eventsKept                  // a failed system's events are not taken back
	tablesKept                  // a world that steps does not give tables back
	bundlesStale                // a bundle remembers a table that was given back
	queriesStale                // a query does not look at the tables again
	limitIgnored                // a queue is applied though it needs too many tables
)

// mutant is the enabled defect.
var mutant = intact
