//! `bootstrap healthcheck`, which a container engine runs beside the server.

use std::net::TcpListener;

use timestream_emulator::Emulator;

use crate::standalone::{Connector, command};
use crate::support::{start_emulator, table};
use crate::tls::{Files, address};

/// Status and output of a health check with these flags.
async fn check(flags: &[&str]) -> (Option<i32>, String) {
    let flags = [&["healthcheck"], flags].concat();
    let mut command = command(&flags);
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Returns a server with these flags, and where a health check finds it.
async fn serve(emulator: &Emulator, flags: &[&str]) -> (Connector, String) {
    let connector = Connector::start(emulator, flags).await;
    let flag = format!("--web.listen-address={}", address(&connector));
    (connector, flag)
}

#[tokio::test]
async fn a_server_is_healthy_until_it_stops() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    // Credentials are not required.
    let (connector, flag) = serve(&emulator, &["--bearer-token=secret"]).await;
    assert_eq!(check(&[&flag]).await, (Some(0), "healthy\n".to_owned()));
    connector.terminate().await;
    let (status, text) = check(&[&flag]).await;
    assert_eq!(status, Some(1));
    assert!(text.starts_with("unhealthy: port "), "{text}");
    assert!(text.contains("does not respond"), "{text}");
}

#[tokio::test]
async fn a_server_with_tls_is_healthy() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let wants = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    let old = format!("{wants}  max_version: TLS12\n");
    for settings in ["", wants, &old] {
        let files = Files::new(settings);
        let (_connector, flag) = serve(&emulator, &[&files.flag()]).await;
        let healthy = (Some(0), "healthy\n".to_owned());
        assert_eq!(check(&[&flag, &files.flag()]).await, healthy, "{settings}");
        // Without TLS it is another server's response, or none.
        assert_eq!(check(&[&flag]).await.0, Some(1), "{settings}");
    }
}

#[tokio::test]
async fn other_servers_are_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let flag = format!("--web.listen-address={}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 20]).unwrap();
        stream
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\n")
            .unwrap();
    });
    let (status, text) = check(&[&flag]).await;
    assert_eq!(status, Some(1));
    assert!(text.contains("responded with \"HTTP/1.1 503 \""), "{text}");
}

#[tokio::test]
async fn an_invalid_configuration_is_reported() {
    let (status, text) = check(&["--web.listen-address=nonsense"]).await;
    assert_eq!(status, Some(2));
    assert!(
        text.contains("InvalidOptionError: --web.listen-address"),
        "{text}"
    );
}

#[tokio::test]
async fn the_version_says_what_was_built() {
    let output = command(&["--version"]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let keys: Vec<&str> = text
        .lines()
        .skip(1)
        .map(|line| line.split_once(": ").unwrap().0)
        .collect();
    assert_eq!(
        keys,
        ["revision", "target", "profile", "compiler"],
        "{text}"
    );
    let first = concat!("bootstrap ", env!("CARGO_PKG_VERSION"), "\n");
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("\ncompiler: rustc 1."), "{text}");
}
