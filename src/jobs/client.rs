//! The one client for outgoing HTTP.

/// Calls others over HTTP; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Client(reqwest::Client);

impl Client {
    /// The client itself.
    pub fn inner(&self) -> &reqwest::Client {
        &self.0
    }
}
