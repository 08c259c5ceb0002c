// Package promql runs Prometheus' own test scripts of PromQL, which its module embeds, over remote
// read: each evaluation is a test of its own, and the next one is run if it fails.
package promql

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

var (
	server = flag.String("connector", "", "the connector's URL; without it Prometheus' own remote read is tested")
	token  = flag.String("token", "", "the token that the connector asks for")
	label  = flag.String("label", "", "the label whose value is the table")
	starts = flag.Bool("start-timestamps", false, "whether Prometheus' own storage has start timestamps, an experiment")
	tables = flag.Int64("tables", 0, "how many tables there are: 0, 1, 2, ...")

	used atomic.Int64
	// Scripts that run beside others already.
	beside sync.Map
)

// open returns an empty storage. Scripts open one at their beginning and at each `clear`.
func open(t testing.TB) storage.Storage {
	// The first one is a script's first step, and scripts may run beside one another.
	if _, known := beside.LoadOrStore(t, true); !known {
		t.(*testing.T).Parallel()
	}
	if *server == "" {
		own, err := newOwn(t, *starts)
		require.NoError(t, err)
		return shifted{own}
	}
	table := used.Add(1) - 1
	require.Less(t, table, *tables, "the scripts need more tables than there are: give more by -tables")
	connector, err := newConnector(*server, *token, *label, fmt.Sprint(table))
	require.NoError(t, err)
	return shifted{connector}
}

func TestScripts(t *testing.T) {
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	promqltest.RunBuiltinTestsWithStorage(t, engine, open)
}
