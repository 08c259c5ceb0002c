//! The start page in a real browser: with fixed content, of which the pictures in `docs/screenshots` are made, and on the
//! connector in front of the emulator.
//!
//! Fonts differ between machines, and with them the places of lines and nearly every pixel. So a stored picture carries
//! the digest of the page that it was made of, style and content included, and must be of the present page; by its pixels
//! it must only resemble the one made here, in size and mean colour. Sizes, overlaps and contrasts are those that the
//! browser computes. `UPDATE_SCREENSHOTS=1` stores new pictures.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use prom_wire::prompb::{Label, Sample, TimeSeries, WriteRequest};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use timestream_prometheus_connector::http::{
    JobLine, JobState, Jobs, Reason, RecentError, Source, StartView, start_page,
};
use timestream_prometheus_connector::metrics::{Billed, LiveCount, LiveRow, LiveView, NotStored};
use timestream_prometheus_connector::storage::routing::{RoutePart, Routing};
use timestream_prometheus_connector::timestream::ErrorKind;
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::stage::{Stage, TOKEN};

const WIDTHS: [u32; 3] = [390, 820, 1440];
const SCHEMES: [&str; 2] = ["light", "dark"];
/// The most bytes of a stored picture.
const MAX_PICTURE_BYTES: usize = 150 * 1_000;
/// The keyword of the text in a picture that is the digest of its page, and its end.
const KEYWORD: &[u8] = b"page\0";
/// A text that would run a script if it became markup.
const MARKUP: &str = "<img src=x onerror=\"document.title='hacked'\">";

/// Returns the texts whose contrast with their ground is lower than 4.5, by the rule of WCAG 2.
const LOW_CONTRASTS: &str = r#"(() => {
  const numbers = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = numbers(color).map((it) => {
      it /= 255;
      return it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      const [, , , alpha = 1] = numbers(color);
      if (alpha === 1) return color;
      if (alpha !== 0) throw new Error(`translucent ground ${color}`);
    }
    throw new Error("no ground");
  };
  const low = [];
  let checked = 0;
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].filter((it) => it.nodeType === Node.TEXT_NODE).map((it) => it.data).join("").trim();
    if (!text || element.matches("script, style, noscript")) continue;
    const lights = [getComputedStyle(element).color, ground(element)].map(luminance).sort((a, b) => b - a);
    const contrast = (lights[0] + 0.05) / (lights[1] + 0.05);
    checked += 1;
    if (contrast < 4.5) low.push(`${contrast.toFixed(2)}: ${text}`);
  }
  if (checked < 50) low.push(`only ${checked} texts`);
  return low;
})()"#;

/// Returns the elements that do not lie in the box that contains them.
const OUTSIDE: &str = r#"(() => {
  const outside = [];
  const check = (inner, outer) => {
    const [a, b] = [inner, outer].map((it) => it.getBoundingClientRect());
    const isInside = a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
    if (!isInside || inner.scrollWidth > inner.clientWidth + 1 && inner.clientWidth > 0)
      outside.push(`${inner.tagName} ${inner.textContent.trim().slice(0, 60)}`);
  };
  for (const box of document.querySelectorAll("section, .setup, .tiles")) {
    check(box, document.body);
    for (const inner of box.querySelectorAll("td, th, p, dt, dd, h2, small")) check(inner, box);
  }
  return outside;
})()"#;

/// Returns the size and the mean colour of a picture.
const MEASURE: &str = r#"(async () => {
  const bytes = Uint8Array.from(atob("PICTURE"), (it) => it.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const { width, height } = picture;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const sums = [0, 0, 0];
  for (let index = 0; index < data.length; index += 4)
    for (let part = 0; part < 3; part += 1) sums[part] += data[index + part];
  return [width, height, ...sums.map((it) => it / (width * height))];
})()"#;

/// Returns the size of a picture, the colours of the page with the shades of its letters, and the nearest of them for each
/// pixel.
const REDUCE: &str = r#"(async () => {
  const bytes = Uint8Array.from(atob("PICTURE"), (it) => it.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const { width, height } = picture;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const color = (index) => (data[index] << 16) | (data[index + 1] << 8) | data[index + 2];
  const parts = (key) => [key >> 16, (key >> 8) & 255, key & 255];
  const style = getComputedStyle(document.documentElement);
  const names = ["--ground", "--card", "--line", "--text", "--quiet", "--link", "--bad"];
  const [ground, card, line, ...inks] = names.map((name) => {
    const digits = style.getPropertyValue(name).trim().slice(1);
    return parts(parseInt(digits.length === 3 ? digits.replace(/./g, "$&$&") : digits, 16));
  });
  const palette = [ground, card, line];
  for (const paper of [ground, card])
    for (const ink of inks)
      for (const share of [0.2, 0.4, 0.6, 0.8, 1])
        palette.push(paper.map((part, index) => Math.round(part + share * (ink[index] - part))));
  const nearest = new Map();
  const indexOf = (key) => {
    if (!nearest.has(key)) {
      const [r, g, b] = parts(key);
      const distances = palette.map(([x, y, z]) => (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2);
      nearest.set(key, distances.indexOf(Math.min(...distances)));
    }
    return nearest.get(key);
  };
  const base64 = (bytes) => {
    let text = "";
    for (let start = 0; start < bytes.length; start += 8192)
      text += String.fromCharCode(...bytes.slice(start, start + 8192));
    return btoa(text);
  };
  const pixels = new Uint8Array(width * height);
  for (let index = 0; index < pixels.length; index += 1) pixels[index] = indexOf(color(4 * index));
  return { width, height, palette: base64(palette.flat()), pixels: base64(pixels) };
})()"#;

fn rows() -> Vec<LiveRow> {
    use NotStored::{Dropped, Failed, Rejected};
    [
        (LiveCount::Received, 8_482_113_402, 8_013.3),
        (LiveCount::Written, 8_482_090_118, 8_012.9),
        (LiveCount::Ignored, 21_640, 0.0),
        (LiveCount::Failed, 1_644, 0.0),
        (LiveCount::WriteRequests(204), 4_241_052, 4.0),
        (LiveCount::WriteRequests(419), 6, 0.0),
        (LiveCount::WriteRequests(503), 14, 0.0),
        (LiveCount::OtlpRequests(200), 0, 0.0),
        (LiveCount::WriteRetries, 212, 0.0),
        (LiveCount::WriteUnits, 372_364_778, 351.8),
        (LiveCount::ReadRequests(200), 1_204, 0.0),
        (LiveCount::ReadSeries, 96_320, 0.0),
        (LiveCount::ReadSamples, 230_110_844, 0.0),
        (LiveCount::Statements, 2_408, 0.0),
        (LiveCount::ReadRetries, 0, 0.0),
        (LiveCount::QueryRequests(200), 18_312, 0.3),
        (LiveCount::QueryRequests(400), 3, 0.0),
        (LiveCount::QuerySeries, 1_464_960, 24.0),
        (LiveCount::QuerySamples, 351_590_400, 5_760.2),
        (LiveCount::QueryStatements, 18_312, 0.3),
        (LiveCount::QueryRetries, 4, 0.0),
        (
            LiveCount::NotStored(Dropped, "value_not_finite"),
            21_640,
            0.0,
        ),
        (
            LiveCount::NotStored(Rejected, "duplicate_version"),
            1_204,
            0.0,
        ),
        (
            LiveCount::NotStored(Failed, "MissingTableWithWriteError"),
            440,
            0.0,
        ),
    ]
    .map(|(count, total, per_second)| LiveRow {
        count,
        total,
        per_second,
    })
    .into()
}

fn errors(now: jiff::Timestamp) -> Vec<RecentError> {
    let before = |seconds: i64| now - jiff::SignedDuration::from_secs(seconds);
    let error = |source, reason, status, cause: &str, count, first, last| RecentError {
        source,
        reason,
        status,
        cause: cause.to_owned(),
        count,
        first: before(first),
        last: before(last),
    };
    vec![
        error(
            Source::Write,
            Reason::Timestream(ErrorKind::Throttled),
            503,
            "ThrottlingException: 412 samples for prometheus/samples are not stored: Rate exceeded",
            14,
            11_520,
            142,
        ),
        error(
            Source::Access,
            Reason::Unauthenticated,
            401,
            "the bearer token is wrong",
            2_310,
            86_400,
            1_260,
        ),
        error(
            Source::Write,
            Reason::Timestream(ErrorKind::Rejected),
            419,
            "RejectedRecordsException: 1 samples for prometheus/samples are not stored: A record already exists with \
             the same time, dimensions, measure name, and record version",
            6,
            259_200,
            18_000,
        ),
        error(
            Source::Query,
            Reason::InvalidQuery,
            400,
            "invalid parameter \"query\": 1:9: parse error: unclosed left parenthesis",
            3,
            172_800,
            90_000,
        ),
    ]
}

fn jobs(now: jiff::Timestamp) -> Jobs {
    let line = |name: &str, kind, schedule, state, last_run, samples, note: &str| JobLine {
        name: name.to_owned(),
        kind: Some(kind),
        schedule: Some(Duration::from_secs(schedule)),
        state,
        last_run: Some(now - jiff::SignedDuration::from_secs(last_run)),
        samples: Some(samples),
        note: Some(note.to_owned()).filter(|it| !it.is_empty()),
    };
    Jobs::Listed(vec![
        line(
            "history",
            "prometheus_api",
            3_600,
            JobState::Running,
            3_420,
            1_204_800,
            "",
        ),
        line("node-1", "prometheus", 15, JobState::Complete, 4, 1_412, ""),
        line(
            "to-mimir",
            "prometheus_sink",
            60,
            JobState::Failed,
            48,
            0,
            "mimir.example.com:443 refused the connection; the samples stay in Timestream, and the next run sends them",
        ),
    ])
}

/// Serves the page with fixed content; returns its address.
async fn fixed_page() -> String {
    let respond = || async {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        let part = |default: &str| RoutePart {
            label: None,
            default: Some(default.to_owned()),
        };
        let live = LiveView {
            uptime: Duration::from_secs(12 * 86_400 + 6 * 3_600),
            in_flight: 3,
            rows: rows(),
            billed: Billed {
                write_units: 1_266_480.0,
                query_bytes: 1_395_864_371.0,
            },
        };
        start_page(&StartView {
            now,
            version: "1.0.0",
            revision: "",
            region: "us-east-1",
            routing: &Routing {
                database: part("prometheus"),
                table: part("samples"),
            },
            telemetry_path: "/metrics",
            live: &live,
            errors: &errors(now),
            jobs: &jobs(now),
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(respond));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Checks that the open page fits its width and can be read.
async fn assert_layout(browser: &mut Browser, headings: &[&str], name: &str) {
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.evaluate(overflow).await, 0, "{name}");
    assert_eq!(browser.evaluate(OUTSIDE).await, json!([]), "{name}");
    assert_eq!(browser.evaluate(LOW_CONTRASTS).await, json!([]), "{name}");
    let texts = "[...document.querySelectorAll('h2')].map((it) => it.textContent)";
    assert_eq!(browser.evaluate(texts).await, json!(headings), "{name}");
}

/// Returns the picture of the open page as PNG with few colours, a third of the browser's bytes, and with the digest of
/// its page.
async fn picture(browser: &mut Browser, digest: &str) -> Vec<u8> {
    let whole = STANDARD.encode(browser.whole_picture().await);
    let reduced = browser.evaluate(&REDUCE.replace("PICTURE", &whole)).await;
    let [width, height] = ["width", "height"].map(|name| reduced[name].as_u64().unwrap());
    let [palette, pixels] =
        ["palette", "pixels"].map(|name| STANDARD.decode(reduced[name].as_str().unwrap()).unwrap());
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::best());
    for row in pixels.chunks(usize::try_from(width).unwrap()) {
        // Each row begins with its filter: none.
        rows.write_all(&[0]).unwrap();
        rows.write_all(row).unwrap();
    }
    let [width, height] = [width, height].map(|it| u32::try_from(it).unwrap().to_be_bytes());
    // Eight bits for a pixel, which is an index of the palette.
    let header = [&width[..], &height, &[8, 3, 0, 0, 0]].concat();
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tEXt", [KEYWORD, digest.as_bytes()].concat()),
        (b"IDAT", rows.finish().unwrap()),
        (b"IEND", Vec::new()),
    ] {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(&content);
        picture.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        picture.extend(kind);
        picture.extend(content);
        picture.extend(crc.sum().to_be_bytes());
    }
    picture
}

/// Returns true if the picture has the digest of this page.
fn is_of(picture: &[u8], digest: &str) -> bool {
    let text = [KEYWORD, digest.as_bytes()].concat();
    picture.windows(text.len()).any(|it| it == text)
}

fn stored(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
    folder.join(format!("{name}.png"))
}

async fn measure(browser: &mut Browser, picture: &[u8]) -> [f64; 5] {
    let script = MEASURE.replace("PICTURE", &STANDARD.encode(picture));
    serde_json::from_value(browser.evaluate(&script).await).unwrap()
}

#[tokio::test]
async fn the_start_page_is_that_of_its_pictures() {
    let url = fixed_page().await;
    let page = soak::http::client().get(&url).send().await.unwrap();
    let page = page.text().await.unwrap();
    let digest: String = digest(&SHA256, page.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let updates = std::env::var_os("UPDATE_SCREENSHOTS").is_some_and(|it| it == "1");
    let made = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(made.join("start.html"), &page).unwrap();
    let mut browser = Browser::start().await;
    let mut wrong = Vec::new();
    for width in WIDTHS {
        for scheme in SCHEMES {
            let name = format!("start-{scheme}-{width}");
            browser.look(width, 900, scheme).await;
            browser.open(&url).await;
            let picture = picture(&mut browser, &digest).await;
            std::fs::write(made.join(format!("{name}.png")), &picture).unwrap();
            let headings = [
                "Last errors",
                "Jobs",
                "Writes",
                "Reads",
                "Queries",
                "Samples not stored",
                "Cost",
            ];
            assert_layout(&mut browser, &headings, &name).await;
            let columns = "new Set([...document.querySelectorAll('.columns section')].map((it) => it.offsetLeft)).size";
            let expected = if width == 390 { 1 } else { 2 };
            assert_eq!(browser.evaluate(columns).await, expected, "{name}");

            if updates {
                std::fs::create_dir_all(stored(&name).parent().unwrap()).unwrap();
                std::fs::write(stored(&name), &picture).unwrap();
            }
            let old = std::fs::read(stored(&name)).unwrap_or_default();
            if old.len() > MAX_PICTURE_BYTES || !is_of(&old, &digest) {
                wrong.push(format!("{name}: {} bytes, or of another page", old.len()));
                continue;
            }
            let [here, there] = [
                measure(&mut browser, &picture).await,
                measure(&mut browser, &old).await,
            ];
            assert_eq!(here[0], there[0], "{name}: another width");
            let is_near =
                |index: usize, tolerance: f64| (here[index] - there[index]).abs() <= tolerance;
            let is_like = is_near(1, 0.25 * here[1]) && (2..5).all(|index| is_near(index, 10.0));
            if !is_like {
                wrong.push(format!("{name}: {there:?} is not like {here:?}"));
            }
        }
    }
    assert_eq!(browser.take_problems(), Vec::<String>::new());
    assert!(
        wrong.is_empty(),
        "{wrong:#?}\nLook at {}/start-*.png, and store them: UPDATE_SCREENSHOTS=1 cargo test --test conformance start_page",
        made.display()
    );
}

/// Writes a sample of a series; returns the status.
async fn write(stage: &Stage, labels: &[(&str, &str)]) -> u16 {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let series = TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: vec![Sample {
            value: 1.0,
            timestamp: 1_767_225_600_000,
        }],
        ..TimeSeries::default()
    };
    let request = WriteRequest {
        timeseries: vec![series],
        metadata: vec![],
    };
    let request = soak::http::client()
        .post(format!("{}/write", stage.connector.url))
        .bearer_auth(TOKEN)
        .body(prom_wire::encode(&request).unwrap());
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_start_page_shows_what_happens_with_and_without_scripts() {
    let hash = bcrypt::hash("grace", 4).unwrap();
    let users = format!("--basic-auth-users=grace:{hash}");
    let stage = Stage::start(vec![], &[&users, "--table-label=table"]).await;
    let url = stage.connector.url.replacen("//", "//grace:grace@", 1);
    let mut browser = Browser::start().await;
    browser.look(390, 900, "dark").await;
    browser.open(&format!("{url}/")).await;
    let errors = "document.querySelector('.errors').textContent";
    let text = browser.text(errors).await;
    assert!(text.contains("None since the start."), "{text}");

    // The script shows it without a reload, and as a text.
    assert_eq!(write(&stage, &[("__name__", "up")]).await, 204);
    let missing = [("__name__", "up"), ("job", MARKUP), ("table", MARKUP)];
    assert_eq!(write(&stage, &missing).await, 400);
    browser
        .until(&format!("{errors}.includes('InvalidDestinationName')"))
        .await;
    let text = browser.text(errors).await;
    assert!(text.contains(&format!("'{MARKUP}'")), "{text}");
    assert!(text.contains("Use 1 to 256 letters"), "{text}");
    let headings: &[&str] = &[
        "Last errors",
        "Writes",
        "Reads",
        "Queries",
        "Samples not stored",
        "Cost",
    ];
    assert_layout(&mut browser, headings, "with scripts").await;
    assert_eq!(browser.take_problems(), Vec::<String>::new());

    // The same without scripts, and markup could not do anything either.
    browser.allow_scripts(false).await;
    browser.open(&format!("{url}/")).await;
    let shown = browser.text(errors).await;
    assert!(shown.contains("InvalidDestinationName"), "{shown}");
    assert_layout(&mut browser, headings, "without scripts").await;
    browser.allow_scripts(true).await;
    browser.open(&format!("{url}/")).await;
    let insert = format!(
        "document.body.insertAdjacentHTML('beforeend', {})",
        json!(MARKUP.replace("=x", "=data:,"))
    );
    browser.evaluate(&insert).await;
    browser
        .until("document.querySelector('img').complete")
        .await;
    assert_ne!(
        browser.evaluate("document.title").await,
        Value::from("hacked")
    );
    let problems = browser.take_problems();
    assert!(
        problems
            .iter()
            .any(|it| it.contains("Content Security Policy")),
        "{problems:?}"
    );
}
