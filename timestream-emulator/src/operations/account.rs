//! The settings of the account: the compute capacity of queries.
//!
//! Developer guide, "Timestream compute unit (TCU)": MaxQueryTCU is 200 unless set, from 4 to 1000
//! in steps of 4. An account that pays by compute units cannot go back to paying by bytes scanned.

use crate::{
    error::ServiceError,
    limits,
    protocol::{AccountSettings, Empty},
    store::{Writer, catalog::Catalog},
    write::Violations,
};

const COMPUTE_UNITS: &str = "COMPUTE_UNITS";
const PRICING_MODELS: [&str; 2] = ["BYTES_SCANNED", COMPUTE_UNITS];

pub(crate) fn describe(catalog: &Catalog, _: &Empty) -> Result<AccountSettings, ServiceError> {
    Ok(AccountSettings {
        max_query_tcu: Some(catalog.max_query_tcu),
        query_pricing_model: Some(COMPUTE_UNITS.to_owned()),
    })
}

pub(crate) fn update(
    writer: &mut Writer,
    request: &AccountSettings,
) -> Result<AccountSettings, ServiceError> {
    let pricing_model = request.query_pricing_model.as_deref();
    let mut violations = Violations::default();
    violations.one_of("queryPricingModel", pricing_model, &PRICING_MODELS);
    violations.into_result()?;
    if pricing_model.is_some_and(|model| model != COMPUTE_UNITS) {
        return Err(ServiceError::validation(
            "The query pricing model of this account is COMPUTE_UNITS and cannot be changed.",
        ));
    }
    if let Some(tcu) = request.max_query_tcu {
        if !limits::MAX_QUERY_TCU.contains(&tcu) || tcu % limits::QUERY_TCU_STEP != 0 {
            return Err(ServiceError::validation(format!(
                "MaxQueryTCU {tcu} is invalid. It must be a multiple of {} from {} to {}.",
                limits::QUERY_TCU_STEP,
                limits::MAX_QUERY_TCU.start(),
                limits::MAX_QUERY_TCU.end()
            )));
        }
        writer.set_max_query_tcu(tcu)?;
    }
    describe(&writer.catalog, &Empty {})
}
