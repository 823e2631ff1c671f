//! Metrics. Every name and label is here; none carries anything relayed or stored.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::gate::State;
use crate::splice::Volume;

/// Buckets of the append latency in seconds: from a fast disk's flush to a stall.
const LATENCY_BUCKETS: [f64; 12] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

const CONNECTIONS: &str = "vouchsafe_host_connections_total";
const OPEN: &str = "vouchsafe_host_connections_open";
const RELAYED: &str = "vouchsafe_host_relayed_bytes_total";
const APPENDS: &str = "vouchsafe_host_appends_total";
const APPENDED_FRAMES: &str = "vouchsafe_host_appended_frames_total";
const APPENDED_BYTES: &str = "vouchsafe_host_appended_bytes_total";
const APPEND_SECONDS: &str = "vouchsafe_host_append_seconds";
const ENCLAVE_STATE: &str = "vouchsafe_host_enclave_state";

/// What a connection asked for, as far as it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Introduce,
    Relay,
    Unknown,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Introduce => "introduce",
            Self::Relay => "relay",
            Self::Unknown => "unknown",
        }
    }
}

/// The metrics of one host.
#[derive(Debug)]
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    pub(crate) appended_frames: Counter,
    pub(crate) appended_bytes: Counter,
    append_seconds: Histogram,
    states: [(State, Gauge); State::ALL.len()],
}

impl Telemetry {
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS)?.build_recorder();
        describe(&recorder);
        Ok(Self {
            handle: recorder.handle(),
            appended_frames: counter(&recorder, APPENDED_FRAMES, vec![]),
            appended_bytes: counter(&recorder, APPENDED_BYTES, vec![]),
            append_seconds: recorder.register_histogram(&Key::from_name(APPEND_SECONDS), &METADATA),
            states: State::ALL.map(|state| {
                let key = Key::from_parts(ENCLAVE_STATE, vec![Label::new("state", state.name())]);
                (state, recorder.register_gauge(&key, &METADATA))
            }),
            recorder,
        })
    }

    /// A connection ended, or was refused.
    pub(crate) fn connection(&self, kind: Kind, outcome: &'static str) {
        let labels = vec![Label::new("kind", kind.name()), Label::new("outcome", outcome)];
        counter(&self.recorder, CONNECTIONS, labels).increment(1);
    }

    /// Relayed connections open now.
    pub(crate) fn open(&self, kind: Kind) -> Gauge {
        let key = Key::from_parts(OPEN, vec![Label::new("kind", kind.name())]);
        self.recorder.register_gauge(&key, &METADATA)
    }

    /// Counters of relayed bytes.
    pub(crate) fn volume(&self, kind: Kind) -> Volume {
        let direction = |name| {
            let labels = vec![Label::new("kind", kind.name()), Label::new("direction", name)];
            counter(&self.recorder, RELAYED, labels)
        };
        Volume { from_agent: direction("from_agent"), to_agent: direction("to_agent") }
    }

    /// An append was answered.
    pub(crate) fn append(&self, outcome: &'static str, took: Duration) {
        counter(&self.recorder, APPENDS, vec![Label::new("outcome", outcome)]).increment(1);
        self.append_seconds.record(took.as_secs_f64());
    }

    /// Everything, in Prometheus' text format.
    pub(crate) fn render(&self, now: State) -> String {
        for (state, gauge) in &self.states {
            gauge.set(if *state == now { 1.0 } else { 0.0 });
        }
        self.handle.render()
    }

    /// Keeps histograms small between scrapes; to be called now and then.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

const METADATA: Metadata<'static> = Metadata::new("vouchsafe_host", Level::INFO, None);

fn counter(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Counter {
    recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
}

fn describe(recorder: &PrometheusRecorder) {
    let count = Some(Unit::Count);
    let counters = [
        (CONNECTIONS, count, "Connections by what they asked for and how they ended"),
        (RELAYED, Some(Unit::Bytes), "Bytes relayed"),
        (APPENDS, count, "Group commits by outcome"),
        (APPENDED_FRAMES, count, "Sealed frames stored"),
        (APPENDED_BYTES, Some(Unit::Bytes), "Bytes of sealed frames stored"),
    ];
    for (name, unit, text) in counters {
        recorder.describe_counter(name.into(), unit, SharedString::const_str(text));
    }
    let text = SharedString::const_str("Time of a group commit until it is durable");
    recorder.describe_histogram(APPEND_SECONDS.into(), Some(Unit::Seconds), text);
    let text = SharedString::const_str("Connections relayed now");
    recorder.describe_gauge(OPEN.into(), count, text);
    let text = SharedString::const_str("1 for the state that the enclave is in");
    recorder.describe_gauge(ENCLAVE_STATE.into(), count, text);
}
