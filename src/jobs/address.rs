//! The addresses that no job may call.
//!
//! A user who may define a job chooses the servers that this process connects to, and the responses of
//! some addresses are for this process alone: they are the credentials of its machine, its container or
//! its function. An address is checked once a name is resolved and before anything is connected, so it
//! does not matter which name, notation or redirect leads to it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;

/// Services that return credentials of the machine or the container; none has metrics. EC2
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>),
/// which Azure, Google and others share; ECS and EKS
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>).
const METADATA: [IpAddr; 9] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Google over IPv6, Alibaba, Oracle, Azure's agent.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];
/// Variables with the addresses of this process' credentials, and of its invocations.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
const CREDENTIALS: [&str; 2] = [
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
];

/// Checks the addresses of connections; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// True if link-local addresses are allowed.
    allows_link_local: bool,
    own: Arc<Vec<Own>>,
}

/// An address at which this process itself is served.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Own {
    host: Host,
    port: u16,
    /// Its name in errors.
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// The ends of the texts of blocked addresses. They are for definitions; a command replaces them.
pub const REMEDIES: [&str; 2] = [
    "; set allow_link_local to true if it is meant",
    "; no definition may call it",
];

/// An address that is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedAddress {
    address: String,
    reason: BlockReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockReason {
    LinkLocal,
    Metadata,
    Own(&'static str),
}

impl Guard {
    /// Blocks the addresses that `environment` names for this process alone, beside the known ones.
    pub(super) fn new(environment: fn(&str) -> Option<String>) -> Self {
        let runtime = environment(RUNTIME_API);
        // It has no scheme.
        let runtime =
            runtime.and_then(|it| Own::of(&format!("http://{it}"), "Lambda's runtime API"));
        let credentials = CREDENTIALS.into_iter().filter_map(environment);
        let credentials = credentials.filter_map(|it| Own::of(&it, "the connector's credentials"));
        Self {
            allows_link_local: false,
            own: Arc::new(runtime.into_iter().chain(credentials).collect()),
        }
    }

    /// Returns the same guard for a job that may, or may not, call link-local addresses.
    pub(super) fn with_link_local(&self, is_allowed: bool) -> Self {
        Self {
            allows_link_local: is_allowed,
            own: Arc::clone(&self.own),
        }
    }

    pub(super) fn allows_link_local(&self) -> bool {
        self.allows_link_local
    }

    /// Checks an address that a name was resolved to.
    pub(super) fn check(&self, address: SocketAddr) -> Result<(), BlockedAddress> {
        let ip = plain(address.ip());
        let blocked = |reason| {
            Err(BlockedAddress {
                address: ip.to_string(),
                reason,
            })
        };
        if METADATA.contains(&ip) {
            return blocked(BlockReason::Metadata);
        }
        if let Some(own) = self.own.iter().find(|own| own.is_at(ip, address.port())) {
            return blocked(BlockReason::Own(own.what));
        }
        if is_link_local(ip) && !self.allows_link_local {
            return blocked(BlockReason::LinkLocal);
        }
        Ok(())
    }

    /// Checks the host of a URL, as far as that can be done without resolving it.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), BlockedAddress> {
        let port = url.port_or_known_default().unwrap_or_default();
        if let Some(ip) = ip_of(url) {
            return self.check(SocketAddr::new(ip, port));
        }
        let name = url.host_str().unwrap_or_default().trim_end_matches('.');
        let is_own = |own: &&Own| own.port == port && own.host == Host::Name(name.to_owned());
        match self.own.iter().find(is_own) {
            Some(own) => Err(BlockedAddress {
                address: name.to_owned(),
                reason: BlockReason::Own(own.what),
            }),
            None => Ok(()),
        }
    }
}

impl Own {
    fn of(url: &str, what: &'static str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let host = match (ip_of(&url), url.host_str()?) {
            (Some(ip), _) => Host::Address(plain(ip)),
            (None, "localhost") => Host::Address(Ipv4Addr::LOCALHOST.into()),
            (None, name) => Host::Name(name.to_owned()),
        };
        let port = url.port_or_known_default()?;
        Some(Self { host, port, what })
    }

    fn is_at(&self, ip: IpAddr, port: u16) -> bool {
        let Host::Address(own) = self.host else {
            return false;
        };
        // All addresses of the loopback interface, and that of no interface, lead to the same socket.
        let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        self.port == port && (own == ip || (is_here(own) && is_here(ip)))
    }
}

impl fmt::Display for BlockedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, reason } = self;
        write!(f, "{address} is not called: ")?;
        let [allow, never] = REMEDIES;
        match reason {
            BlockReason::LinkLocal => write!(f, "it is a link-local address{allow}"),
            BlockReason::Metadata => write!(
                f,
                "it is the address of a metadata service, which hands out credentials{never}"
            ),
            BlockReason::Own(what) => write!(f, "it is the address of {what}{never}"),
        }
    }
}

impl std::error::Error for BlockedAddress {}

/// Returns the address that a URL has instead of a name.
pub(super) fn ip_of(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Returns the IPv4 address within an IPv6 address that reaches it: mapped and compatible
/// (RFC 4291), translated (RFC 2765, RFC 6052, RFC 8215), by 6to4 (RFC 3056).
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else {
        return ip;
    };
    let at = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match six.segments() {
        // These two are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => ip,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => at(high, low),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(|name| match name {
            RUNTIME_API => Some("127.0.0.1:9001".to_owned()),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI" => Some("http://localhost:7000/creds".to_owned()),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT" => Some("http://[fd00::1]:7001".to_owned()),
            _ => None,
        })
    }

    fn blocked(guard: &Guard, url: &str) -> Option<String> {
        let checked = guard.check_url(&Url::parse(url).unwrap());
        checked.err().map(|it| it.to_string())
    }

    #[test]
    fn metadata_is_blocked_in_any_notation() {
        for url in [
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://0xA9FEA9FE/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://１６９.254.169.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]:8080/",
            "http://[::169.254.169.254]/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[64:ff9b:1::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[::ffff:0:169.254.169.254]/",
            "https://169.254.170.2/v2/credentials",
            "http://169.254.170.23/",
            "http://[fd00:ec2::254]/",
            "http://[fd00:ec2::23]/",
            "http://100.100.100.200/",
            "http://192.0.0.192/",
            "http://168.63.129.16/machine?comp=goalstate",
        ] {
            // No definition has a reason to call them.
            for guard in [guard(), guard().with_link_local(true)] {
                let text = blocked(&guard, url).unwrap_or_else(|| panic!("{url}"));
                assert!(text.contains("metadata service"), "{text}");
            }
        }
    }

    #[test]
    fn link_local_addresses_are_blocked_unless_they_are_allowed() {
        for url in [
            "http://169.254.0.1/",
            "http://169.254.20.10:9253/metrics",
            "http://[fe80::1]/",
            "http://[febf::1]/",
            "http://[::ffff:169.254.20.10]/",
        ] {
            let text = blocked(&guard(), url).unwrap_or_else(|| panic!("{url}"));
            assert!(text.ends_with("set allow_link_local to true if it is meant"));
            assert_eq!(blocked(&guard().with_link_local(true), url), None);
        }
        let text = blocked(&guard(), "http://169.254.20.10/").unwrap();
        assert!(text.starts_with("169.254.20.10 is not called: it is a link-local"));
        for url in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "http://169.253.169.254/",
            "http://[fec0::1]/",
            "http://[fd00:ec2::253]/",
            "http://[2001:db8::1]/",
            "http://example.com/",
        ] {
            assert_eq!(blocked(&guard(), url), None);
        }
    }

    #[test]
    fn the_services_of_this_process_are_blocked_at_their_port() {
        for (url, what) in [
            ("http://127.0.0.1:9001/2018-06-01/runtime", "runtime API"),
            ("http://127.0.0.2:9001/", "runtime API"),
            ("http://[::1]:9001/", "runtime API"),
            ("http://0.0.0.0:9001/", "runtime API"),
            ("http://[::ffff:127.0.0.1]:9001/", "runtime API"),
            ("http://127.0.0.1:7000/creds", "credentials"),
            ("http://[fd00::1]:7001/latest/meta-data", "credentials"),
        ] {
            for guard in [guard(), guard().with_link_local(true)] {
                assert!(blocked(&guard, url).unwrap().contains(what), "{url}");
            }
            assert_eq!(blocked(&Guard::default(), url), None);
        }
        assert_eq!(blocked(&guard(), "http://127.0.0.1:9002/"), None);
        let named = Guard::new(|name| (name == RUNTIME_API).then(|| "api.internal:80".to_owned()));
        assert!(blocked(&named, "http://API.internal./").is_some());
        assert_eq!(blocked(&named, "http://api.internal:81/"), None);
    }
}
