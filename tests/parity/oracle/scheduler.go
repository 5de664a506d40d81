// A real kube-scheduler that is never started, and how a cluster gets into it.
//
// Everything is what scheduler.New makes: default profile, plugins, cache, snapshot. What the informers and the event
// handlers would do is done by hand instead, at once: volumes, claims, classes and the like go straight into the
// informers' indexers, nodes and bound pods into the scheduler's cache. Only the nominator is our own.

package main

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

type oracle struct {
	cache     internalcache.Cache
	snapshot  *internalcache.Snapshot
	framework framework.Framework
	stores    map[string]cache.Indexer // by kind
	nominated nominator
	loaded    *cluster
	scoring   bool // verdicts have scores
}

func newOracle(ctx context.Context) (*oracle, error) {
	// never called: no informer is started and nothing is bound
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "127.0.0.1:1"})
	if err != nil {
		return nil, err
	}
	factory := scheduler.NewInformerFactory(client, 0)
	recorders := func(string) events.EventRecorderLogger { return &events.FakeRecorder{} }
	made, err := scheduler.New(ctx, client, factory, nil, recorders)
	if err != nil {
		return nil, err
	}
	profile := made.Profiles[v1.DefaultSchedulerName]
	snapshot, ok := profile.SnapshotSharedLister().(*internalcache.Snapshot)
	if !ok {
		return nil, fmt.Errorf("the profile's snapshot is a %T", profile.SnapshotSharedLister())
	}
	o := &oracle{cache: made.Cache, snapshot: snapshot, framework: profile, nominated: nominator{}, loaded: &cluster{}}
	o.stores = storesOf(factory)
	profile.SetPodNominator(o.nominated)
	return o, nil
}

// storesOf are the kinds beside nodes and pods that the default plugins look up. The last four only give the scoring
// of PodTopologySpread its default selectors.
func storesOf(factory informers.SharedInformerFactory) map[string]cache.Indexer {
	core, storage, apps := factory.Core().V1(), factory.Storage().V1(), factory.Apps().V1()
	return map[string]cache.Indexer{
		"Namespace":             core.Namespaces().Informer().GetIndexer(),
		"PersistentVolume":      core.PersistentVolumes().Informer().GetIndexer(),
		"PersistentVolumeClaim": core.PersistentVolumeClaims().Informer().GetIndexer(),
		"StorageClass":          storage.StorageClasses().Informer().GetIndexer(),
		"CSINode":               storage.CSINodes().Informer().GetIndexer(),
		"CSIDriver":             storage.CSIDrivers().Informer().GetIndexer(),
		"CSIStorageCapacity":    storage.CSIStorageCapacities().Informer().GetIndexer(),
		"VolumeAttachment":      storage.VolumeAttachments().Informer().GetIndexer(),
		"Service":               core.Services().Informer().GetIndexer(),
		"ReplicationController": core.ReplicationControllers().Informer().GetIndexer(),
		"ReplicaSet":            apps.ReplicaSets().Informer().GetIndexer(),
		"StatefulSet":           apps.StatefulSets().Informer().GetIndexer(),
	}
}

// load replaces the whole cluster. Nothing of the one before is left behind.
func (o *oracle) load(next *cluster) error {
	for kind := range next.others {
		if o.stores[kind] == nil {
			return fmt.Errorf("the scheduler looks at no objects of kind %s: leave them out", kind)
		}
	}
	for kind, store := range o.stores {
		if err := store.Replace(next.others[kind], ""); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	if err := o.unload(); err != nil {
		return err
	}
	o.loaded = next
	for _, node := range next.nodes {
		o.cache.AddNode(klog.Logger{}, node)
	}
	for _, pod := range next.bound {
		if err := o.cache.AddPod(klog.Logger{}, pod); err != nil {
			return fmt.Errorf("bound pod %s: %w", key(pod), err)
		}
	}
	o.nominated.fill(next.unbound)
	return o.cache.UpdateSnapshot(klog.Logger{}, o.snapshot)
}

func (o *oracle) unload() error {
	for _, pod := range o.loaded.bound {
		if err := o.cache.RemovePod(klog.Logger{}, pod); err != nil {
			return err
		}
	}
	for _, node := range o.loaded.nodes {
		if err := o.cache.RemoveNode(klog.Logger{}, node); err != nil {
			return err
		}
	}
	// an empty snapshot in between: else nodes of the same name would keep their place in its lists
	return o.cache.UpdateSnapshot(klog.Logger{}, o.snapshot)
}

// nominator holds the unbound pods with a nominated node, by that node, of every scheduler. kube-scheduler's own is
// its queue, which knows the pods of its own scheduler names only; a second scheduler sees those of the others.
type nominator map[string][]fwk.PodInfo

func (n nominator) fill(pods []*v1.Pod) {
	clear(n)
	for _, pod := range pods {
		if node := pod.Status.NominatedNodeName; node != "" {
			// the error is about affinity terms that do not parse: kube-scheduler passes over it as well
			info, _ := framework.NewPodInfo(pod)
			n[node] = append(n[node], info)
		}
	}
}

func (n nominator) NominatedPodsForNode(node string) []fwk.PodInfo { return n[node] }

func (nominator) AddNominatedPod(klog.Logger, fwk.PodInfo, *fwk.NominatingInfo) {}

func (nominator) DeleteNominatedPodIfExists(*v1.Pod) {}

func (nominator) UpdateNominatedPod(klog.Logger, *v1.Pod, fwk.PodInfo) {}
