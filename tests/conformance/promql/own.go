package promql

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"
)

// The limits of reads by which Prometheus runs unless its flags say otherwise.
const (
	readSampleLimit     = 50_000_000
	readConcurrency     = 10
	readMaxBytesInFrame = 1 << 20
)

// own is Prometheus' own storage behind Prometheus' own remote read.
type own struct {
	storage.SampleAndChunkQueryable
	local  *teststorage.TestStorage
	server *httptest.Server
}

// newOwn returns an empty one; with start timestamps the scripts are run as upstream.
func newOwn(t testing.TB, startTimestamps bool) (*own, error) {
	local := teststorage.New(t, func(options *tsdb.Options) {
		if startTimestamps {
			options.EnableSTStorage = true
			options.FloatChunkEncoding = chunkenc.EncXOR2
			options.EnableHistogramSTEncoding = true
		}
	})
	settings := func() config.Config { return config.Config{} }
	handler := remote.NewReadHandler(slog.New(slog.DiscardHandler), nil, local, settings,
		readSampleLimit, readConcurrency, readMaxBytesInFrame)
	server := httptest.NewServer(handler)
	reader, err := readFrom(server.URL, "", "", labels.EmptyLabels())
	if err != nil {
		return nil, err
	}
	return &own{reader, local, server}, nil
}

func (o *own) AppenderV2(ctx context.Context) storage.AppenderV2 { return o.local.AppenderV2(ctx) }

func (o *own) Close() error {
	o.server.Close()
	return o.local.Close()
}
