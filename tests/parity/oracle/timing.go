// How long the scheduler's own algorithm takes for a pod: schedulePod over all nodes, on a snapshot made beforehand.

package main

import (
	"context"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
)

type timing struct {
	Seconds  float64 `json:"seconds"`  // median of the rounds
	Feasible int     `json:"feasible"` // nodes
}

func (o *oracle) time(ctx context.Context, pod *v1.Pod, rounds int) (timing, error) {
	var took []float64
	var feasible int
	for range rounds {
		started := time.Now()
		found, err := o.schedulePod(ctx, pod)
		took = append(took, time.Since(started).Seconds())
		if err != nil {
			return timing{}, err
		}
		feasible = len(found.feasible)
	}
	slices.Sort(took)
	middle := len(took) / 2
	median := (took[middle] + took[len(took)-1-middle]) / 2
	return timing{Seconds: median, Feasible: feasible}, nil
}

// schedulePod filters and scores; that no node is feasible is no error here. Taking the best of the scores is left out.
func (o *oracle) schedulePod(ctx context.Context, pod *v1.Pod) (fit, error) {
	found := o.findNodesThatFitPod(ctx, pod)
	if found.err != nil {
		return found, found.err
	}
	_, err := o.prioritizeNodes(ctx, pod, found)
	return found, err
}
