//! Plans and limits: who may use API keys, how many, and how often.

use std::num::NonZeroU32;

use crate::domain::Refusal;

/// As many keys may live in a tenant where the profile says nothing.
const KEYS_PER_TENANT: u32 = 100;

/// What a tenant may pay for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The plan, as `tenants.plan` has it.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Whether its tenants may make and use API keys.
    pub api_keys: bool,
    /// Its limits.
    pub limits: Limits,
}

/// How much a tenant may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// API keys that live at once.
    pub keys_per_tenant: i64,
    /// Requests with one API key in a minute; none where there is no limit.
    pub requests_per_minute: Option<NonZeroU32>,
}

/// The plans in rising order, and the limits where there are none.
#[derive(Clone, Debug)]
pub struct Plans {
    pub(super) plans: Vec<Plan>,
    pub(super) without: Limits,
}

impl Limits {
    pub(super) fn new(keys_per_tenant: Option<u32>, requests_per_minute: Option<NonZeroU32>) -> Self {
        Self { keys_per_tenant: keys_per_tenant.unwrap_or(KEYS_PER_TENANT).into(), requests_per_minute }
    }
}

impl Plan {
    /// By which of its keys in the file it gives less than the plan before it: then the plans do not rise. What limits
    /// a plan without API keys limits nobody.
    pub(super) fn falls_behind(&self, lower: &Self) -> Option<&'static str> {
        let keys = |plan: &Self| plan.limits.keys_per_tenant;
        let requests = |plan: &Self| plan.limits.requests_per_minute.unwrap_or(NonZeroU32::MAX);
        let rises = [
            ("api_keys", self.api_keys),
            ("keys_per_tenant", keys(self) >= keys(lower)),
            ("requests_per_minute", requests(self) >= requests(lower)),
        ];
        rises.into_iter().find_map(|(key, rises)| (lower.api_keys && !rises).then_some(key))
    }
}

impl Plans {
    /// The plan of this name. A tenant without one is on the first; one whose plan is gone from the profile too, so
    /// that a plan that was taken away gives nothing.
    #[must_use]
    pub fn of_tenant(&self, name: Option<&str>) -> Option<&Plan> {
        self.plans.iter().find(|plan| name == Some(&plan.name)).or(self.plans.first())
    }

    /// The limits of a tenant on this plan.
    #[must_use]
    pub fn limits(&self, plan: Option<&str>) -> Limits {
        self.of_tenant(plan).map_or(self.without, |plan| plan.limits)
    }

    /// Refuses API keys to tenants whose plan has none.
    ///
    /// # Errors
    /// [`Refusal::PlanRequired`] with the lowest plan that has them.
    pub fn ensure_api_keys(&self, plan: Option<&str>) -> Result<(), Refusal> {
        match self.of_tenant(plan) {
            Some(plan) if !plan.api_keys => Err(Refusal::PlanRequired(
                self.lowest_with_api_keys().map_or_else(String::new, |plan| plan.title.clone()),
            )),
            _ => Ok(()),
        }
    }

    /// The lowest plan whose tenants may use API keys.
    #[must_use]
    pub fn lowest_with_api_keys(&self) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.api_keys)
    }

    /// The plans, in rising order.
    pub fn all(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter()
    }

    /// The names of the plans, in rising order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plans.iter().map(|plan| plan.name.as_str())
    }

    /// Refuses a plan that is none.
    ///
    /// # Errors
    /// A field error that names the plans.
    pub fn ensure_known(&self, plan: Option<&str>) -> Result<(), Refusal> {
        let Some(plan) = plan else { return Ok(()) };
        if self.names().any(|known| known == plan) {
            return Ok(());
        }
        let names = self.names().collect::<Vec<_>>().join(", ");
        Err(Refusal::invalid(
            "plan",
            if names.is_empty() {
                "is not offered: the profile has no plans".to_owned()
            } else {
                format!("must be one of {names}")
            },
        ))
    }
}
