// Package memory has series in memory, as a storage that changes nothing in them.
package memory

import (
	"context"
	"errors"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Series has samples in the order of their times.
type Series struct {
	Lset    labels.Labels
	Samples []Sample
}

// Sample is a histogram, if it has one, else a float.
type Sample struct {
	T, ST int64
	F     float64
	H     *histogram.FloatHistogram
}

// Storage is series, sorted by their labels.
type Storage struct {
	all    []*Series
	byName map[string][]*Series
}

// New sorts the series.
func New(all []*Series) *Storage {
	slices.SortFunc(all, func(a, b *Series) int { return labels.Compare(a.Lset, b.Lset) })
	s := &Storage{all, map[string][]*Series{}}
	for _, series := range all {
		name := series.Lset.Get(labels.MetricName)
		s.byName[name] = append(s.byName[name], series)
	}
	return s
}

// Querier implements storage.Queryable.
func (s *Storage) Querier(from, to int64) (storage.Querier, error) { return querier{s, from, to}, nil }

type querier struct {
	storage  *Storage
	from, to int64
}

// Select returns the samples within the time range of the hints, and no others.
func (q querier) Select(_ context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if hints != nil {
		q.from, q.to = hints.Start, hints.End
	}
	candidates := q.storage.all
	for _, m := range matchers {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			candidates = q.storage.byName[m.Value]
		}
	}
	set := &set{at: -1}
	for _, series := range candidates {
		fails := func(m *labels.Matcher) bool { return !m.Matches(series.Lset.Get(m.Name)) }
		if slices.ContainsFunc(matchers, fails) {
			continue
		}
		all := series.Samples
		first := sort.Search(len(all), func(i int) bool { return all[i].T >= q.from })
		end := sort.Search(len(all), func(i int) bool { return all[i].T > q.to })
		if first < end {
			set.series = append(set.series, &Series{series.Lset, all[first:end]})
		}
	}
	return set
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("queries need no label values")
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("queries need no label names")
}

func (querier) Close() error { return nil }

type set struct {
	series []*Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// Labels implements storage.Series.
func (s *Series) Labels() labels.Labels { return s.Lset }

// Iterator implements storage.Series.
func (s *Series) Iterator(reused chunkenc.Iterator) chunkenc.Iterator {
	if it, ok := reused.(*iterator); ok {
		*it = iterator{s.Samples, -1}
		return it
	}
	return &iterator{s.Samples, -1}
}

type iterator struct {
	samples []Sample
	at      int
}

func (i *iterator) Next() chunkenc.ValueType {
	i.at++
	return i.kind()
}

func (i *iterator) Seek(t int64) chunkenc.ValueType {
	i.at = max(i.at, 0)
	rest := i.samples[min(i.at, len(i.samples)):]
	i.at += sort.Search(len(rest), func(k int) bool { return rest[k].T >= t })
	return i.kind()
}

func (i *iterator) kind() chunkenc.ValueType {
	switch {
	case i.at >= len(i.samples):
		return chunkenc.ValNone
	case i.samples[i.at].H != nil:
		return chunkenc.ValFloatHistogram
	default:
		return chunkenc.ValFloat
	}
}

func (i *iterator) At() (int64, float64) { return i.samples[i.at].T, i.samples[i.at].F }

func (i *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	panic("all histograms have float counts")
}

// AtFloatHistogram gives away copies, because the engine changes them.
func (i *iterator) AtFloatHistogram(to *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	s := i.samples[i.at]
	if to == nil {
		return s.T, s.H.Copy()
	}
	s.H.CopyTo(to)
	return s.T, to
}

func (i *iterator) AtT() int64  { return i.samples[i.at].T }
func (i *iterator) AtST() int64 { return i.samples[i.at].ST }
func (i *iterator) Err() error  { return nil }
