// The verdicts on one pod: schedule_one.go's schedulePod up to the feasible nodes, over all of them; and how these
// score, where that is asked for.

package main

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type verdict struct {
	Gated     bool                   `json:"gated"`
	Message   *string                `json:"message"`   // FitError's, without what preemption would add
	Error     *string                `json:"error"`     // the scheduler could not tell: the pod goes nowhere
	PreFilter *string                `json:"preFilter"` // rejected before any node was looked at
	Nodes     map[string]nodeVerdict `json:"nodes"`
	Scores    scores                 `json:"scores,omitempty"` // with -scores, where several nodes are feasible
}

// scores are normalized and weighted, by plugin and node. A plugin that PreScore skips is not there.
type scores map[string]map[string]int64

type nodeVerdict struct {
	Feasible bool     `json:"feasible"`
	Reasons  []string `json:"reasons"`
	Plugin   string   `json:"plugin,omitempty"` // the one that refused the node, where kube-scheduler says so
}

// fit is what findNodesThatFitPod finds.
type fit struct {
	state     fwk.CycleState
	feasible  []fwk.NodeInfo
	diagnosis framework.Diagnosis
	err       error
}

func (o *oracle) judge(ctx context.Context, pod *v1.Pod) verdict {
	said := verdict{Nodes: map[string]nodeVerdict{}}
	// what the SchedulingGates plugin keeps out of the queue is never tried
	if said.Gated = len(pod.Spec.SchedulingGates) > 0; said.Gated {
		return said
	}
	if len(o.loaded.nodes) == 0 {
		said.Message = text(scheduler.ErrNoNodesAvailable.Error())
		return said
	}
	found := o.findNodesThatFitPod(ctx, pod)
	switch {
	case found.err != nil:
		return o.failed(found.err)
	case len(found.feasible) == 0:
		misfit := framework.FitError{Pod: pod, NumAllNodes: len(o.loaded.nodes), Diagnosis: found.diagnosis}
		said.Message = text(misfit.Error())
	}
	if found.diagnosis.PreFilterMsg != "" {
		said.PreFilter = text(found.diagnosis.PreFilterMsg)
	}
	said.Nodes = o.perNode(found)
	if o.scoring {
		scored, err := o.prioritizeNodes(ctx, pod, found)
		if err != nil {
			return o.failed(err)
		}
		said.Scores = byPlugin(scored)
	}
	return said
}

// failed leaves no node feasible: the scheduler puts the pod nowhere, whichever step went wrong.
func (o *oracle) failed(err error) verdict {
	said := verdict{Error: text(err.Error()), Nodes: map[string]nodeVerdict{}}
	for _, node := range o.loaded.nodes {
		said.Nodes[node.Name] = nodeVerdict{Reasons: []string{}}
	}
	return said
}

func text(content string) *string { return &content }

func (o *oracle) perNode(found fit) map[string]nodeVerdict {
	verdicts := make(map[string]nodeVerdict, len(o.loaded.nodes))
	for _, node := range o.loaded.nodes {
		status := found.diagnosis.NodeToStatus.Get(node.Name)
		verdicts[node.Name] = nodeVerdict{Reasons: append([]string{}, status.Reasons()...), Plugin: status.Plugin()}
	}
	for _, node := range found.feasible {
		verdicts[node.Node().Name] = nodeVerdict{Feasible: true, Reasons: []string{}}
	}
	return verdicts
}

// findNodesThatFitPod is kube-scheduler's function of that name for a scheduler without extenders that looks at every
// node. Left out: the pod's own nominated node and the hint of a like pod before it, which only come first.
func (o *oracle) findNodesThatFitPod(ctx context.Context, pod *v1.Pod) (found fit) {
	found.state = framework.NewCycleState()
	found.diagnosis.NodeToStatus = framework.NewDefaultNodeToStatus()
	nodes, err := o.snapshot.ListNodesInPlacement()
	if err != nil {
		found.err = err
		return found
	}
	result, status, plugins := o.framework.RunPreFilterPlugins(ctx, found.state, pod)
	found.diagnosis.UnschedulablePlugins = plugins
	if !status.IsSuccess() {
		if !status.IsRejected() {
			found.err = status.AsError()
			return found
		}
		found.diagnosis.NodeToStatus.SetAbsentNodesStatus(status)
		found.diagnosis.PreFilterMsg = status.Message()
		found.diagnosis.AddPluginStatus(status)
		return found
	}
	if !result.AllNodes() {
		nodes = named(nodes, result.NodeNames)
		reason := fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", sets.List(plugins))
		found.diagnosis.NodeToStatus.SetAbsentNodesStatus(fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason))
	}
	o.findNodesThatPassFilters(ctx, pod, nodes, &found)
	return found
}

// named are the nodes of these names; a name may be that of no node.
func named(nodes []fwk.NodeInfo, names sets.Set[string]) []fwk.NodeInfo {
	var chosen []fwk.NodeInfo
	for _, node := range nodes {
		if names.Has(node.Node().Name) {
			chosen = append(chosen, node)
		}
	}
	return chosen
}

// findNodesThatPassFilters differs from kube-scheduler's in one thing: the error that counts is that of the first node,
// not the first in time, so that two runs say the same.
func (o *oracle) findNodesThatPassFilters(ctx context.Context, pod *v1.Pod, nodes []fwk.NodeInfo, found *fit) {
	statuses := make([]*fwk.Status, len(nodes))
	check := func(i int) {
		statuses[i] = o.framework.RunFilterPluginsWithNominatedPods(ctx, found.state, pod, nodes[i])
	}
	o.framework.Parallelizer().Until(ctx, len(nodes), check, metrics.Filter)
	for i, status := range statuses {
		switch {
		case status.IsSuccess():
			found.feasible = append(found.feasible, nodes[i])
		case status.Code() == fwk.Error:
			found.err = status.AsError()
			return
		default:
			found.diagnosis.NodeToStatus.Set(nodes[i].Node().Name, status)
			found.diagnosis.AddPluginStatus(status)
		}
	}
}

// prioritizeNodes is kube-scheduler's function of that name for a scheduler without extenders; as there, where there is
// nothing to choose from nothing is scored.
func (o *oracle) prioritizeNodes(ctx context.Context, pod *v1.Pod, found fit) ([]fwk.NodePluginScores, error) {
	if len(found.feasible) <= 1 {
		return nil, nil
	}
	if status := o.framework.RunPreScorePlugins(ctx, found.state, pod, found.feasible); !status.IsSuccess() {
		return nil, status.AsError()
	}
	scored, status := o.framework.RunScorePlugins(ctx, found.state, pod, found.feasible)
	return scored, status.AsError()
}

func byPlugin(scored []fwk.NodePluginScores) scores {
	found := scores{}
	for _, node := range scored {
		for _, one := range node.Scores {
			if found[one.Name] == nil {
				found[one.Name] = map[string]int64{}
			}
			found[one.Name][node.Name] = one.Score
		}
	}
	return found
}
