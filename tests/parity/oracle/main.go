// oracle asks kube-scheduler's own plugins where pods fit.
//
// It owns the command line and the two loops over it. The scheduler is the real one of the k8s.io/kubernetes module
// that it is built with, default profile and default feature gates; nothing is watched, bound or written, and nothing
// leaves the machine. What one line of input means is in cluster.go.
//
//	oracle judge [-defaults] [-scores]           clusters as JSON Lines on stdin, one line of verdicts for each
//	oracle time FILE [-rounds N] [-defaults]     how long the scheduler's own algorithm takes for each pod of a cluster
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

const usage = "usage: oracle judge [-defaults] [-scores] | oracle time FILE [-rounds N] [-defaults]"

func main() {
	// What the scheduler logs is not for us: its verdicts say it again. Its error handlers also sleep between errors.
	klog.SetLogger(klog.Logger{})
	utilruntime.ErrorHandlers = nil
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command given; %s", usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	defaults := flags.Bool("defaults", false, "set what the API server would set in pods, volumes, claims and classes")
	scores := flags.Bool("scores", false, "say of the feasible nodes how each plugin scores them")
	rounds := flags.Int("rounds", 3, "how often each pod is timed; the median counts")
	files, err := parse(flags, args[1:])
	if err != nil {
		return err
	}
	o, err := newOracle(ctx)
	if err != nil {
		return fmt.Errorf("making kube-scheduler: %w", err)
	}
	o.scoring = *scores
	switch {
	case args[0] == "judge" && len(files) == 0:
		return judgeLines(ctx, o, *defaults, os.Stdin, os.Stdout)
	case args[0] == "time" && len(files) == 1 && *rounds > 0:
		return timeFile(ctx, o, *defaults, files[0], *rounds)
	}
	return fmt.Errorf("cannot do %q; %s", args, usage)
}

// parse takes flags before, between and after the file names; Go's own parser stops at the first name.
func parse(flags *flag.FlagSet, args []string) (files []string, err error) {
	for {
		if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
			return files, err
		}
		files, args = append(files, flags.Arg(0)), flags.Args()[1:]
	}
}

func judgeLines(ctx context.Context, o *oracle, defaults bool, in io.Reader, out io.Writer) error {
	reader, writer := bufio.NewReaderSize(in, 1<<20), bufio.NewWriterSize(out, 1<<20)
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n') // a line has no upper limit: a bufio.Scanner's would be too short
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading line %d: %w", number, err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if err := judgeLine(ctx, o, defaults, line, writer); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

func judgeLine(ctx context.Context, o *oracle, defaults bool, line []byte, writer *bufio.Writer) error {
	known, err := readCluster(line, defaults)
	if err != nil {
		return err
	}
	if err := o.load(known); err != nil {
		return err
	}
	verdicts := map[string]verdict{}
	for _, pod := range known.waiting() {
		verdicts[key(pod)] = o.judge(ctx, pod)
	}
	if err := json.NewEncoder(writer).Encode(verdicts); err != nil {
		return err
	}
	return writer.Flush() // whoever asks waits for this line before sending the next
}

func timeFile(ctx context.Context, o *oracle, defaults bool, path string, rounds int) error {
	line, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	known, err := readCluster(line, defaults)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := o.load(known); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	timings := map[string]timing{}
	for _, pod := range known.waiting() {
		if timings[key(pod)], err = o.time(ctx, pod, rounds); err != nil {
			return fmt.Errorf("%s: pod %s: %w", path, key(pod), err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(timings)
}
