mod corpus;
mod grammar;
mod oracle;

use proptest::prelude::*;

use super::*;

fn any_op() -> impl Strategy<Value = Op> {
    prop::sample::select(Op::ALL.map(|(op, _)| op).to_vec())
}

fn any_literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        any::<i64>().prop_map(Literal::Integer),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Literal::Decimal),
        "[^\u{0}]{0,12}".prop_map(Literal::Text),
    ]
}

/// A path as the RFC has it. Single names are all that stands inside brackets.
fn any_attr(single: bool) -> BoxedStrategy<AttrPath> {
    let text = match single {
        true => "[a-zA-Z][a-zA-Z0-9_-]{0,8}",
        false => {
            "(urn:[a-z]{1,5}:[a-z0-9.:]{0,8}[a-z]:)?[a-zA-Z][a-zA-Z0-9_-]{0,8}([.][a-zA-Z][a-zA-Z0-9_-]{0,8})?"
        }
    };
    text.prop_filter_map("a path", |text| AttrPath::parse(&text)).boxed()
}

/// Any filter; `top` allows URNs, sub-attributes and value paths.
pub(crate) fn any_filter(top: bool) -> BoxedStrategy<Filter> {
    let leaf = prop_oneof![
        any_attr(!top).prop_map(Filter::Present),
        (any_attr(!top), any_op(), any_literal())
            .prop_map(|(attr, op, literal)| Filter::Compare(attr, op, literal)),
    ];
    let leaf = match top {
        true => {
            let has = (any_attr(false), any_filter(false))
                .prop_map(|(attr, inner)| Filter::Has(attr, Box::new(inner)));
            prop_oneof![4 => leaf, 1 => has].boxed()
        }
        false => leaf.boxed(),
    };
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
    .boxed()
}
