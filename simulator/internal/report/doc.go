// Package report writes what a run found out: report.json, which is the whole of it and from which everything else can be made
// again; report.html, one page that works offline, to be looked at; junit.xml for pipelines; and latency.hlog for what reads
// HdrHistogram logs.
//
// New judges a run and makes its Report; Write and Read keep it; RenderHTML draws it. It measures nothing and decides nothing:
// package verdict does. The commands run and report call it.
package report
