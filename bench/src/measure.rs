//! One measured value of one server, with what the report must know to combine, compare and doubt it.

use serde::Serialize;

/// Load clients that used more of their cores than this may have been what was measured.
pub const DOUBTFUL_SHARE: f64 = 0.9;

#[derive(Clone, Debug, Serialize)]
pub struct Measure {
    pub name: String,
    pub value: f64,
    pub combine: Combine,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// Part of their cores that the load clients used meanwhile, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_share: Option<f64>,
    /// Kept in the JSON, left out of the table.
    pub aside: bool,
}

/// How the values of several rounds become one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    Mean,
    Sum,
}

/// What Handshaken is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Times Node's value, or more.
    RatioAtLeast(f64),
    /// Times Node's value, or less.
    RatioAtMost(f64),
    /// The value itself, or less.
    AtMost(f64),
}

impl Measure {
    /// A value whose rounds are averaged.
    pub fn mean(name: &str, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            value,
            combine: Combine::Mean,
            goal: None,
            load_share: None,
            aside: false,
        }
    }

    /// A count whose rounds are added up.
    pub fn sum(name: &str, value: f64) -> Self {
        Self {
            combine: Combine::Sum,
            ..Self::mean(name, value)
        }
    }

    pub fn goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    pub fn load_share(self, share: f64) -> Self {
        Self {
            load_share: Some(share),
            ..self
        }
    }

    pub fn aside(self) -> Self {
        Self {
            aside: true,
            ..self
        }
    }
}

impl Combine {
    pub fn of(self, values: &[f64]) -> f64 {
        let sum: f64 = values.iter().sum();
        match self {
            Self::Sum => sum,
            Self::Mean => sum / values.len() as f64,
        }
    }
}

impl Goal {
    /// Whether `ours` reaches the goal beside `node`; nothing when there is nothing to compare with.
    pub fn is_reached(self, ours: f64, node: Option<f64>) -> Option<bool> {
        match self {
            Self::AtMost(bound) => Some(ours <= bound),
            Self::RatioAtLeast(factor) => Some(ours >= factor * node?),
            Self::RatioAtMost(factor) => Some(ours <= factor * node?),
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RatioAtLeast(factor) => write!(f, "≥ {factor}×"),
            Self::RatioAtMost(factor) => write!(f, "≤ {factor}×"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_averaged_or_added() {
        assert_eq!(Combine::Mean.of(&[1.0, 3.0]), 2.0);
        assert_eq!(Combine::Sum.of(&[1.0, 3.0]), 4.0);
    }

    #[test]
    fn goals_compare_with_node_or_with_a_bound() {
        assert_eq!(
            Goal::RatioAtLeast(3.0).is_reached(30.0, Some(10.0)),
            Some(true)
        );
        assert_eq!(
            Goal::RatioAtLeast(3.0).is_reached(29.0, Some(10.0)),
            Some(false)
        );
        assert_eq!(
            Goal::RatioAtMost(0.7).is_reached(7.1, Some(10.0)),
            Some(false)
        );
        assert_eq!(Goal::RatioAtMost(0.7).is_reached(7.1, None), None);
        assert_eq!(Goal::AtMost(12.0).is_reached(12.0, None), Some(true));
    }
}
