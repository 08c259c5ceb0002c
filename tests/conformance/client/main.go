// Calls each method of Prometheus' own API client for Go, and prints a line for each: the name of the call, a tab, and
// its result as JSON, or its error as {"type":..,"msg":..}. Warnings are printed as calls named NAME/warnings.
//
//	client -url http://127.0.0.1:9201 -token TOKEN -start SECONDS -end SECONDS
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// authorized adds the token to each request.
type authorized struct {
	token string
}

func (it authorized) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+it.token)
	return http.DefaultTransport.RoundTrip(request)
}

func line(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fmt.Fprintln(os.Stderr, name, err)
		os.Exit(1)
	}
	fmt.Printf("%s\t%s\n", name, text)
}

func report(name string, value any, warnings v1.Warnings, err error) {
	var failure *v1.Error
	switch {
	case errors.As(err, &failure):
		line(name, map[string]string{"type": string(failure.Type), "msg": failure.Msg})
	case err != nil:
		line(name, map[string]string{"type": "none", "msg": err.Error()})
	default:
		line(name, value)
	}
	if len(warnings) > 0 {
		line(name+"/warnings", warnings)
	}
}

// typed prints the type of a value beside it.
func typed(value model.Value) any {
	if value == nil {
		return nil
	}
	return map[string]any{"type": value.Type().String(), "value": value}
}

func main() {
	url := flag.String("url", "", "base of the URLs")
	token := flag.String("token", "", "bearer token")
	startSeconds := flag.Int64("start", 0, "first time of the samples")
	endSeconds := flag.Int64("end", 0, "last time of the samples")
	flag.Parse()
	client, err := api.NewClient(api.Config{Address: *url, RoundTripper: authorized{*token}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client1 := v1.NewAPI(client)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	start, end := time.Unix(*startSeconds, 0), time.Unix(*endSeconds, 0)

	query := func(name, text string, options ...v1.Option) {
		value, warnings, err := client1.Query(ctx, text, end, options...)
		report(name, typed(value), warnings, err)
	}
	query("query scalar", "1 + 1")
	query("query vector", "sum by (job) (up)")
	query("query special", "label_replace(vector(NaN),'v','nan','','') or label_replace(vector(-Inf),'v','inf','','')")
	query("query matrix", `up{job="a"}[30s]`)
	query("query limited", "up", v1.WithLimit(1))
	query("query lookback", "up offset -20s", v1.WithLookbackDelta(time.Second))
	query("query timeout", "up", v1.WithTimeout(time.Minute), v1.WithStats(v1.AllStatsValue))
	query("query info", "rate(up[1m])")
	query("query invalid", "sum(")
	query("query many to many", "up + on() up")

	steps := v1.Range{Start: start, End: end, Step: 15 * time.Second}
	value, warnings, err := client1.QueryRange(ctx, "sum(up)", steps)
	report("query_range", typed(value), warnings, err)
	value, warnings, err = client1.QueryRange(ctx, "up", v1.Range{Start: start, End: end, Step: time.Millisecond})
	report("query_range resolution", typed(value), warnings, err)

	names, warnings, err := client1.LabelNames(ctx, nil, start, end)
	report("labels", names, warnings, err)
	names, warnings, err = client1.LabelNames(ctx, []string{"up"}, start, end, v1.WithLimit(1))
	report("labels limited", names, warnings, err)
	values, warnings, err := client1.LabelValues(ctx, "job", nil, start, end)
	report("values", values, warnings, err)
	values, warnings, err = client1.LabelValues(ctx, "__name__", []string{`{job="a"}`}, start, end)
	report("values matched", values, warnings, err)
	series, warnings, err := client1.Series(ctx, []string{"up", "absent"}, start, end)
	report("series", series, warnings, err)
	series, warnings, err = client1.Series(ctx, []string{"{}"}, start, end)
	report("series invalid", series, warnings, err)

	metadata, err := client1.Metadata(ctx, "", "10")
	report("metadata", metadata, nil, err)
	exemplars, err := client1.QueryExemplars(ctx, "up", start, end)
	report("exemplars", exemplars, nil, err)
	build, err := client1.Buildinfo(ctx)
	report("buildinfo", build.Version != "", nil, err)
	flags, err := client1.Flags(ctx)
	report("flags", len(flags) > 0, nil, err)
	rules, err := client1.Rules(ctx, nil)
	report("rules", rules.Groups, nil, err)
	alerts, err := client1.Alerts(ctx)
	report("alerts", alerts.Alerts, nil, err)
	targets, err := client1.Targets(ctx)
	report("targets", targets, nil, err)
}
