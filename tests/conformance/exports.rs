//! OTLP metrics into a connector and into a Prometheus with its own receiver: both then have the same series.

mod cases;
mod collector;
mod javascript;
mod pair;
mod python;
mod telemetrygen;
