//! The readiness of a process: whoever starts it tells, and probes look.

use std::time::Duration;

use tokio::sync::watch;

/// The readiness of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// It is not known yet.
    Pending,
    /// Requests can be served.
    #[default]
    Ready,
    /// They cannot, as there are no AWS credentials. The reason is no part of it: probes need no credentials themselves, and
    /// texts of the SDK name hosts and paths.
    NoCredentials,
}

/// The place of a readiness that can change.
#[derive(Clone, Debug)]
pub struct ReadinessProbe(watch::Receiver<Readiness>);

impl ReadinessProbe {
    /// Returns a probe that looks at what is sent.
    pub fn new(readiness: watch::Receiver<Readiness>) -> Self {
        Self(readiness)
    }

    /// Returns the readiness once it is known, at the latest after `patience`.
    pub(super) async fn after(&self, patience: Duration) -> Readiness {
        let mut readiness = self.0.clone();
        let known = readiness.wait_for(|it| *it != Readiness::Pending);
        let _ = tokio::time::timeout(patience, known).await;
        self.0.borrow().clone()
    }
}

impl Default for ReadinessProbe {
    /// Returns a probe of what is always ready.
    fn default() -> Self {
        Self(watch::channel(Readiness::default()).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_waits_for_the_first_result() {
        let patience = Duration::from_secs(1);
        assert_eq!(
            ReadinessProbe::default().after(patience).await,
            Readiness::Ready
        );
        let (sender, receiver) = watch::channel(Readiness::Pending);
        let probe = ReadinessProbe::new(receiver);
        assert_eq!(probe.after(patience).await, Readiness::Pending);
        let later = async {
            tokio::time::sleep(patience / 2).await;
            sender.send_replace(Readiness::NoCredentials);
        };
        let (readiness, ()) = tokio::join!(probe.after(patience), later);
        assert_eq!(readiness, Readiness::NoCredentials);
        sender.send_replace(Readiness::Ready);
        drop(sender);
        assert_eq!(probe.after(patience).await, Readiness::Ready);
    }
}
