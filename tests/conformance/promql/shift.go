package promql

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// shiftMs is how much later a sample is stored than a script says: scripts begin in 1970, and no
// table of Timestream is retained that long.
const shiftMs = 1_600_000_000_000

// inner is what samples are stored in and selected from.
type inner interface {
	AppenderV2(ctx context.Context) storage.AppenderV2
	storage.Queryable
	Close() error
}

// shifted is a storage for scripts: nobody who appends and selects sees the shift.
type shifted struct {
	inner inner
}

func (s shifted) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return shiftedAppender{s.inner.AppenderV2(ctx)}
}

func (s shifted) Querier(mint, maxt int64) (storage.Querier, error) {
	querier, err := s.inner.Querier(mint+shiftMs, maxt+shiftMs)
	if err != nil {
		return nil, err
	}
	return shiftedQuerier{querier}, nil
}

func (s shifted) Close() error { return s.inner.Close() }

func (shifted) StartTime() (int64, error) { return 0, nil }

// Scripts need neither of these.

func (shifted) Appender(context.Context) storage.Appender {
	panic("scripts append by AppenderV2")
}

func (shifted) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) {
	return nil, errors.New("scripts select samples, no chunks")
}

type shiftedAppender struct {
	storage.AppenderV2
}

func (a shiftedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, options storage.AppendV2Options) (storage.SeriesRef, error) {
	// 0 is none.
	if st != 0 {
		st += shiftMs
	}
	return a.AppenderV2.Append(ref, ls, st, t+shiftMs, v, h, fh, options)
}

type shiftedQuerier struct {
	storage.Querier
}

func (q shiftedQuerier) Select(ctx context.Context, sortSeries bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if hints != nil {
		moved := *hints
		moved.Start += shiftMs
		moved.End += shiftMs
		hints = &moved
	}
	return shiftedSet{q.Querier.Select(ctx, sortSeries, hints, matchers...)}
}

type shiftedSet struct {
	storage.SeriesSet
}

func (s shiftedSet) At() storage.Series { return shiftedSeries{s.SeriesSet.At()} }

type shiftedSeries struct {
	storage.Series
}

func (s shiftedSeries) Iterator(used chunkenc.Iterator) chunkenc.Iterator {
	if used, ok := used.(*shiftedIterator); ok {
		used.Iterator = s.Series.Iterator(used.Iterator)
		return used
	}
	return &shiftedIterator{s.Series.Iterator(nil)}
}

type shiftedIterator struct {
	chunkenc.Iterator
}

func (i *shiftedIterator) Seek(t int64) chunkenc.ValueType { return i.Iterator.Seek(t + shiftMs) }

func (i *shiftedIterator) At() (int64, float64) {
	t, v := i.Iterator.At()
	return t - shiftMs, v
}

func (i *shiftedIterator) AtHistogram(into *histogram.Histogram) (int64, *histogram.Histogram) {
	t, h := i.Iterator.AtHistogram(into)
	return t - shiftMs, h
}

func (i *shiftedIterator) AtFloatHistogram(into *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	t, h := i.Iterator.AtFloatHistogram(into)
	return t - shiftMs, h
}

func (i *shiftedIterator) AtT() int64 { return i.Iterator.AtT() - shiftMs }

func (i *shiftedIterator) AtST() int64 {
	st := i.Iterator.AtST()
	if st != 0 {
		st -= shiftMs
	}
	return st
}
