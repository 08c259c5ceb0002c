//! The phases of a run: one kind of fault after the other.

/// A part of a run.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// Description for the reader.
    pub name: &'static str,
    /// Faults in force, as the JSON of the emulator's admin path.
    pub orders: &'static [&'static str],
    /// The process that is killed at its start, and started again while it lasts.
    pub killed: Option<Killed>,
}

/// A program that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// Timestream.
    Emulator,
    /// The connector.
    Connector,
}

const fn phase(name: &'static str, orders: &'static [&'static str]) -> Phase {
    Phase {
        name,
        orders,
        killed: None,
    }
}

const fn kill(name: &'static str, killed: Killed, orders: &'static [&'static str]) -> Phase {
    Phase {
        name,
        orders,
        killed: Some(killed),
    }
}

const LATENCY: &str = r#"{"operation":"WriteRecords","kind":{"latency_ms":1000},"when":"always"}"#;

/// A later retry can succeed after every one of them, so nothing may be lost.
pub const PHASES: [Phase; 13] = [
    phase("no fault", &[]),
    phase(
        "30 % throttled",
        &[r#"{"operation":"WriteRecords","kind":"throttle","when":{"rate":0.3}}"#],
    ),
    phase(
        "90 % throttled",
        &[r#"{"operation":"WriteRecords","kind":"throttle","when":{"rate":0.9}}"#],
    ),
    phase(
        "500 for half of the calls",
        &[r#"{"operation":"WriteRecords","kind":"internal_server","when":{"rate":0.5}}"#],
    ),
    phase(
        "connections cut before and after the call took effect",
        &[
            r#"{"operation":"WriteRecords","kind":"cut_before","when":{"rate":0.2}}"#,
            r#"{"operation":"WriteRecords","kind":"cut_after","when":{"rate":0.2}}"#,
        ],
    ),
    phase("every call takes a second", &[LATENCY]),
    kill(
        "the connector is killed in the midst of requests",
        Killed::Connector,
        &[LATENCY],
    ),
    phase(
        "421 for half of the calls",
        &[r#"{"operation":"WriteRecords","kind":"invalid_endpoint","when":{"rate":0.5}}"#],
    ),
    phase(
        "the credentials are expired",
        &[r#"{"operation":"WriteRecords","kind":"expired_token","when":"always"}"#],
    ),
    kill("Timestream is killed", Killed::Emulator, &[]),
    phase(
        "some of everything",
        &[
            r#"{"operation":"WriteRecords","kind":{"latency_ms":200},"when":{"rate":0.3}}"#,
            r#"{"operation":"WriteRecords","kind":"throttle","when":{"rate":0.2}}"#,
            r#"{"operation":"WriteRecords","kind":"internal_server","when":{"rate":0.1}}"#,
            r#"{"operation":"WriteRecords","kind":"cut_after","when":{"rate":0.1}}"#,
            r#"{"operation":"WriteRecords","kind":"invalid_endpoint","when":{"rate":0.1}}"#,
        ],
    ),
    kill("the connector is killed", Killed::Connector, &[]),
    phase("no fault again", &[]),
];
