package promql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
)

const (
	timeout = model.Duration(time.Minute)
	// Samples of a request; the scripts load at most some thousand at once.
	maxSamples = 5_000
	// Tries of a request that the connector asks to send again.
	maxTries = 10
)

// clientConfig returns the settings of a client of Prometheus for the server at base and path, which may
// ask for a token.
func clientConfig(base, path, token string) (*remote.ClientConfig, error) {
	parsed, err := url.Parse(base + path)
	if err != nil {
		return nil, err
	}
	settings := config_util.DefaultHTTPClientConfig
	if token != "" {
		settings.Authorization = &config_util.Authorization{Type: "Bearer", Credentials: config_util.Secret(token)}
	}
	return &remote.ClientConfig{
		URL:              &config_util.URL{URL: parsed},
		Timeout:          timeout,
		HTTPClientConfig: settings,
		ChunkedReadLimit: 100 << 20,
		WriteProtoMsg:    remoteapi.WriteV2MessageType,
	}, nil
}

// readFrom returns what Prometheus' remote read client finds at the server, with the matchers and
// without the labels of external, as Prometheus does it for its external labels.
func readFrom(base, path, token string, external labels.Labels) (storage.SampleAndChunkQueryable, error) {
	config, err := clientConfig(base, path, token)
	if err != nil {
		return nil, err
	}
	client, err := remote.NewReadClient("conformance", config)
	if err != nil {
		return nil, err
	}
	return remote.NewSampleAndChunkQueryableClient(client, external, nil, true, nil), nil
}

// connector is a table of Timestream behind the connector: remote write 2.0 in, remote read out.
type connector struct {
	storage.SampleAndChunkQueryable
	writer   remote.WriteClient
	external labels.Labels
	// Series whose last sample is a native histogram: a stale marker for such a one is a histogram.
	histograms map[string]bool
}

// newConnector returns the table that the label names, of the connector at base.
func newConnector(base, token, label, table string) (*connector, error) {
	external := labels.FromStrings(label, table)
	reader, err := readFrom(base, "/read", token, external)
	if err != nil {
		return nil, err
	}
	config, err := clientConfig(base, "/write", token)
	if err != nil {
		return nil, err
	}
	writer, err := remote.NewWriteClient("conformance", config)
	if err != nil {
		return nil, err
	}
	return &connector{reader, writer, external, map[string]bool{}}, nil
}

func (c *connector) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &sender{connector: c, ctx: ctx, series: map[string]*series{}}
}

func (*connector) Close() error { return nil }

// series has what a commit sends of a series.
type series struct {
	labels     labels.Labels
	samples    []writev2.Sample
	histograms []writev2.Histogram
}

// sender collects samples and sends them when they are committed.
type sender struct {
	*connector
	ctx    context.Context
	order  []string
	series map[string]*series
}

func (s *sender) Append(_ storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AppendV2Options) (storage.SeriesRef, error) {
	key := ls.String()
	one, known := s.series[key]
	if !known {
		builder := labels.NewBuilder(ls)
		s.external.Range(func(l labels.Label) { builder.Set(l.Name, l.Value) })
		one = &series{labels: builder.Labels()}
		s.series[key] = one
		s.order = append(s.order, key)
	}
	// As the head of Prometheus' storage does it, so that remote write sends a histogram.
	if h == nil && fh == nil && value.IsStaleNaN(v) && s.histograms[key] {
		fh = &histogram.FloatHistogram{Sum: math.Float64frombits(value.StaleNaN)}
	}
	switch {
	case fh != nil:
		one.histograms = append(one.histograms, writev2.FromFloatHistogram(st, t, fh))
	case h != nil:
		one.histograms = append(one.histograms, writev2.FromIntHistogram(st, t, h))
	default:
		one.samples = append(one.samples, writev2.Sample{Timestamp: t, Value: v, StartTimestamp: st})
	}
	s.histograms[key] = h != nil || fh != nil
	return 0, nil
}

func (s *sender) Commit() error {
	symbols := writev2.NewSymbolTable()
	var request writev2.Request
	count := 0
	flush := func() error {
		if count == 0 {
			return nil
		}
		request.Symbols = symbols.Symbols()
		err := s.send(&request)
		symbols = writev2.NewSymbolTable()
		request, count = writev2.Request{}, 0
		return err
	}
	add := func(one *series, samples []writev2.Sample, histograms []writev2.Histogram) {
		refs := symbols.SymbolizeLabels(one.labels, nil)
		request.Timeseries = append(request.Timeseries, writev2.TimeSeries{LabelsRefs: refs, Samples: samples, Histograms: histograms})
		count += len(samples) + len(histograms)
	}
	for _, key := range s.order {
		one := s.series[key]
		// A series of a request has samples of one kind.
		for samples := one.samples; len(samples) > 0; {
			n := min(len(samples), maxSamples-count)
			add(one, samples[:n], nil)
			samples = samples[n:]
			if count >= maxSamples {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		for histograms := one.histograms; len(histograms) > 0; {
			n := min(len(histograms), maxSamples-count)
			add(one, nil, histograms[:n])
			histograms = histograms[n:]
			if count >= maxSamples {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

func (*sender) Rollback() error { return nil }

// send sends the request until it is stored, and fails unless all of it is.
func (s *sender) send(request *writev2.Request) error {
	body, err := request.Marshal()
	if err != nil {
		return err
	}
	body = snappy.Encode(nil, body)
	samples, histograms := 0, 0
	for _, one := range request.Timeseries {
		samples += len(one.Samples)
		histograms += len(one.Histograms)
	}
	for try := 0; ; try++ {
		written, err := s.writer.Store(s.ctx, body, try)
		var recoverable remote.RecoverableError
		if errors.As(err, &recoverable) && try < maxTries {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err != nil {
			return fmt.Errorf("remote write: %w", err)
		}
		if written.Samples != samples || written.Histograms != histograms {
			return fmt.Errorf("remote write: of %d samples and %d histograms %d and %d are written",
				samples, histograms, written.Samples, written.Histograms)
		}
		return nil
	}
}
