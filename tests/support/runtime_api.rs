//! AWS Lambda's runtime API, and a function that runs as a process in front of it.
//!
//! The rules of the API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>. It
//! rejects a response over 6,291,556 bytes, as the service does, and the invocation fails then.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Maximum size of a response that Lambda accepts.
pub(crate) const MAX_RESPONSE_BYTES: usize = 6_291_556;
/// Time limit of every wait.
const WAIT_LIMIT: Duration = Duration::from_secs(60);
/// The default time limit of a function.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The name of the function.
pub(crate) const FUNCTION: &str = "connector";

/// Body of the response to a function that has ended an invocation.
const ACCEPTED: &str = r#"{"status": "OK"}"#;

/// The runtime API of one function.
pub(crate) struct RuntimeApi {
    address: String,
    state: Arc<Shared>,
    invocations: AtomicU64,
    server: JoinHandle<()>,
}

struct Shared {
    events: mpsc::UnboundedSender<Event>,
    waiting: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    running: Mutex<HashMap<String, oneshot::Sender<Ended>>>,
    polls: watch::Sender<usize>,
}

struct Event {
    request_id: String,
    payload: Bytes,
    deadline_ms: u128,
}

/// End of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    /// With this response.
    Responded(Value),
    /// With an error of this type.
    Failed { error_type: String, message: String },
}

/// HTTP response that a gateway makes of the function's.
#[derive(Clone, Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) is_base64: bool,
    /// After decoding.
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Ended {
    /// Returns the response to an HTTP request.
    pub(crate) fn http(self) -> HttpResponse {
        let response = match self {
            Self::Responded(response) => response,
            failed => panic!("{failed:?}"),
        };
        let mut headers = BTreeMap::new();
        for (name, value) in response["headers"].as_object().into_iter().flatten() {
            headers.insert(name.to_lowercase(), value.as_str().unwrap().to_owned());
        }
        for (name, values) in response["multiValueHeaders"]
            .as_object()
            .into_iter()
            .flatten()
        {
            for value in values.as_array().unwrap() {
                headers.insert(name.to_lowercase(), value.as_str().unwrap().to_owned());
            }
        }
        let is_base64 = response["isBase64Encoded"].as_bool().unwrap();
        let body = response["body"].as_str().unwrap_or_default();
        HttpResponse {
            status: response["statusCode"].as_u64().unwrap().try_into().unwrap(),
            headers,
            is_base64,
            body: match is_base64 {
                true => STANDARD.decode(body).unwrap(),
                false => body.as_bytes().to_owned(),
            },
        }
    }
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, waiting) = mpsc::unbounded_channel();
        let state = Arc::new(Shared {
            events,
            waiting: AsyncMutex::new(waiting),
            running: Mutex::default(),
            polls: watch::Sender::new(0),
        });
        let invocation = "/2018-06-01/runtime/invocation";
        let router = Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(response))
            .route(&format!("{invocation}/{{id}}/error"), post(error))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            state,
            invocations: AtomicU64::new(0),
            server,
        }
    }

    /// Waits until the function has requested events so many times.
    pub(crate) async fn polled(&self, times: usize) {
        let mut polls = self.state.polls.subscribe();
        let polled = timeout(WAIT_LIMIT, polls.wait_for(|polls| *polls >= times)).await;
        polled.expect("the function requests an event").unwrap();
    }

    /// Invokes the function and waits for its end.
    pub(crate) async fn invoke(&self, payload: impl Into<Bytes>) -> Ended {
        self.invoke_within(TIMEOUT, payload).await
    }

    /// Calls [`Self::invoke`] with another time limit for the function.
    pub(crate) async fn invoke_within(&self, limit: Duration, payload: impl Into<Bytes>) -> Ended {
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let request_id = format!("00000000-0000-4000-8000-{number:012}");
        let (ended, end) = oneshot::channel();
        let running = &self.state.running;
        running.lock().unwrap().insert(request_id.clone(), ended);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let event = Event {
            request_id,
            payload: payload.into(),
            deadline_ms: (now + limit).as_millis(),
        };
        self.state.events.send(event).unwrap();
        let ended = timeout(WAIT_LIMIT, end).await;
        ended.expect("the function ends an invocation").unwrap()
    }

    /// Returns the variables that Lambda sets, with credentials of the emulator at this URL.
    pub(crate) fn variables(&self, emulator_url: &str) -> Vec<(String, String)> {
        [
            ("AWS_LAMBDA_RUNTIME_API", self.address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", FUNCTION),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_ENDPOINT_URL", emulator_url),
            ("_HANDLER", "bootstrap"),
            ("TZ", ":UTC"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(state): State<Arc<Shared>>) -> Response {
    state.polls.send_modify(|polls| *polls += 1);
    let event = state.waiting.lock().await.recv().await.unwrap();
    let arn = format!("arn:aws:lambda:us-east-1:123456789012:function:{FUNCTION}");
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", event.request_id),
        ("lambda-runtime-deadline-ms", event.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", arn),
    ];
    (headers, event.payload).into_response()
}

async fn response(
    State(state): State<Arc<Shared>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> (StatusCode, String) {
    if body.len() > MAX_RESPONSE_BYTES {
        let message = format!(
            "Exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes), got {}",
            body.len()
        );
        let error_type = "Function.ResponseSizeTooLarge";
        let failed = Ended::Failed {
            error_type: error_type.to_owned(),
            message: message.clone(),
        };
        state.end(&request_id, failed);
        let error = json!({"errorType": error_type, "errorMessage": message});
        return (StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
    }
    let response = serde_json::from_slice(&body).unwrap_or_else(|error| {
        panic!(
            "a response is JSON: {error}: {}",
            String::from_utf8_lossy(&body)
        )
    });
    state.end(&request_id, Ended::Responded(response));
    (StatusCode::ACCEPTED, ACCEPTED.to_owned())
}

async fn error(
    State(state): State<Arc<Shared>>,
    Path(request_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    assert!(headers.contains_key("lambda-runtime-function-error-type"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let failed = Ended::Failed {
        error_type: text("errorType"),
        message: text("errorMessage"),
    };
    state.end(&request_id, failed);
    (StatusCode::ACCEPTED, ACCEPTED.to_owned())
}

impl Shared {
    fn end(&self, request_id: &str, ended: Ended) {
        let running = self.running.lock().unwrap().remove(request_id);
        // The receiver may have given up.
        let _ = running.expect("each invocation ends once").send(ended);
    }
}

/// A function: the process that Lambda would run.
pub(crate) struct Function {
    process: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

/// Result of a function that has ended.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Function {
    /// Starts `command` with these variables and no others.
    pub(crate) fn start(mut command: Command, variables: &[(String, String)]) -> Self {
        let mut process = command
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            stdout: tokio::spawn(read(process.stdout.take().unwrap())),
            stderr: tokio::spawn(read(process.stderr.take().unwrap())),
            process,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().expect("the function runs")
    }

    /// Signals the process to stop, and waits until it has.
    pub(crate) async fn stop(self) -> Left {
        let kill = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status();
        assert!(kill.await.unwrap().success());
        self.ended().await
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(mut self) -> Left {
        let status = timeout(WAIT_LIMIT, self.process.wait()).await;
        Left {
            status: status.expect("the function ends").unwrap().code(),
            stdout: self.stdout.await.unwrap(),
            stderr: self.stderr.await.unwrap(),
        }
    }
}

async fn read(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}
