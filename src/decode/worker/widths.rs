//! The form of a plan in recordings: its axes, and one character per width.
//!
//! A mask is written as one digit per channel, `1` where it is kept, as it always was. Other plans
//! add the widths of K and V, one character each (`0`, `2`, `4`, `8`, and `f` for 16 bits, the full
//! element type), and how the codes share scales.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::mask::{CachePlan, ChannelMask, Coding, Shape, Width};
use crate::{Error, Result};

#[derive(Serialize, Deserialize)]
struct Form {
    shape: Shape,
    kept: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    widths: Option<Widths>,
}

#[derive(Serialize, Deserialize)]
struct Widths {
    k: String,
    v: String,
    /// Channels of V that share a scale, where K is coded per channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v_group: Option<usize>,
    /// Whether blocks per token are rotated, where K and V are coded so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotated: Option<bool>,
}

pub fn serialize<S: Serializer>(
    plan: &CachePlan,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let kept = plan.mask().bits().iter().map(|&kept| if kept { '1' } else { '0' }).collect();
    let widths = (*plan != CachePlan::of_mask(plan.mask())).then(|| {
        let (v_group, rotated) = match plan.coding() {
            Coding::Channels { v_group } => (Some(v_group), None),
            Coding::Blocks { rotated } => (None, Some(rotated)),
        };
        Widths { k: written(plan.k_widths()), v: written(plan.v_widths()), v_group, rotated }
    });
    Form { shape: plan.shape(), kept, widths }.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<CachePlan, D::Error> {
    plan(Form::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn plan(form: Form) -> Result<CachePlan> {
    let Some(widths) = form.widths else {
        let kept = form.kept.chars().map(|digit| digit == '1').collect();
        return Ok(CachePlan::of_mask(&ChannelMask::new(form.shape, kept)?));
    };
    let coding = match (widths.v_group, widths.rotated) {
        (Some(v_group), None) => Coding::Channels { v_group },
        (None, Some(rotated)) => Coding::Blocks { rotated },
        _ => return Err(Error::input("a plan's codes share scales by channel or in blocks")),
    };
    CachePlan::new(form.shape, read(&widths.k)?, read(&widths.v)?, coding)
}

fn written(widths: &[Width]) -> String {
    let character = |width: &Width| match width {
        Width::Zero => '0',
        Width::Two => '2',
        Width::Four => '4',
        Width::Eight => '8',
        Width::Sixteen => 'f',
    };
    widths.iter().map(character).collect()
}

fn read(text: &str) -> Result<Vec<Width>> {
    let width = |character: char| match character {
        '0' => Ok(Width::Zero),
        '2' => Ok(Width::Two),
        '4' => Ok(Width::Four),
        '8' => Ok(Width::Eight),
        'f' => Ok(Width::Sixteen),
        other => Err(Error::input(format!("a width is 0, 2, 4, 8 or f, not `{other}`"))),
    };
    text.chars().map(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] CachePlan);

    const SHAPE: Shape = Shape { layers: 2, kv_heads: 1, head_dim: 64 };

    fn json(plan: &CachePlan) -> String {
        serde_json::to_string(&Holder(plan.clone())).unwrap()
    }

    #[test]
    fn every_plan_comes_back_and_a_mask_is_written_as_it_always_was() {
        let mask = ChannelMask::from_fn(SHAPE, |layer, _, channel| layer == 0 && channel % 2 == 0);
        let kept = format!("{}{}", "10".repeat(32), "0".repeat(64));
        let expected =
            format!(r#"{{"shape":{{"layers":2,"kv_heads":1,"head_dim":64}},"kept":"{kept}"}}"#);
        assert_eq!(json(&CachePlan::of_mask(&mask)), expected);

        let mut k: Vec<Width> = Width::ALL.into_iter().cycle().take(64).collect();
        k.extend([Width::Zero; 64]);
        let mixed = |v_group| {
            let v = vec![Width::Two, Width::Zero];
            CachePlan::new(SHAPE, k.clone(), v, Coding::Channels { v_group }).unwrap()
        };
        let blocks = |rotated| {
            CachePlan::uniform(SHAPE, Width::Eight, Width::Four, Coding::Blocks { rotated })
        };
        let of_32 = CachePlan::new(
            SHAPE,
            vec![Width::Sixteen; 128],
            vec![Width::Sixteen; 2],
            Coding::Channels { v_group: 32 },
        );
        let plans = [
            CachePlan::of_mask(&mask),
            CachePlan::full(SHAPE),
            mixed(32),
            mixed(64),
            blocks(false).unwrap(),
            blocks(true).unwrap(),
            of_32.unwrap(),
        ];
        for plan in plans {
            let again: Holder = serde_json::from_str(&json(&plan)).unwrap();
            assert_eq!(again.0, plan);
        }
    }

    #[test]
    fn what_no_plan_says_is_refused() {
        let good =
            json(&CachePlan::uniform(SHAPE, Width::Four, Width::Four, Coding::best(64)).unwrap());
        let refused = |from: &str, to: &str| {
            let changed = good.replacen(from, to, 1);
            assert_ne!(changed, good);
            serde_json::from_str::<Holder>(&changed).unwrap_err().to_string()
        };
        assert!(refused(r#""k":"4"#, r#""k":"5"#).contains("not `5`"));
        assert!(refused(r#""k":"4"#, r#""k":""#).contains("128 widths of K"));
        assert!(refused(r#""v_group":64"#, r#""v_group":0"#).contains("at least 1 channel"));
        assert!(refused(r#","v_group":64"#, "").contains("share scales"));
    }
}
