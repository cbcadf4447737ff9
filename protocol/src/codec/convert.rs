//! How a type and its generated message become each other, and what that takes again and again.

use super::DecodeError;

/// A type of the contract and its wire form.
pub trait Convert: Sized {
    /// What is generated for it, or a scalar.
    type Wire;

    /// The wire form.
    fn to_wire(&self) -> Self::Wire;

    /// Checks a wire form from outside.
    ///
    /// # Errors
    /// [`DecodeError`] naming the field, relative to this type.
    fn from_wire(wire: Self::Wire) -> Result<Self, DecodeError>;
}

impl<T: Convert> Convert for Vec<T> {
    type Wire = Vec<T::Wire>;

    fn to_wire(&self) -> Vec<T::Wire> {
        self.iter().map(T::to_wire).collect()
    }

    fn from_wire(wire: Vec<T::Wire>) -> Result<Self, DecodeError> {
        let item = |(i, item)| T::from_wire(item).map_err(|e| e.within(&format!("[{i}]")));
        wire.into_iter().enumerate().map(item).collect()
    }
}

impl<T: Convert> Convert for Option<T> {
    type Wire = Option<T::Wire>;

    fn to_wire(&self) -> Option<T::Wire> {
        self.as_ref().map(T::to_wire)
    }

    fn from_wire(wire: Option<T::Wire>) -> Result<Self, DecodeError> {
        wire.map(T::from_wire).transpose()
    }
}

/// Reads `field`.
pub(super) fn read<T: Convert>(field: &str, wire: T::Wire) -> Result<T, DecodeError> {
    T::from_wire(wire).map_err(|error| error.within(field))
}

/// Reads `field`, which must be there.
pub(super) fn required<T: Convert>(field: &str, wire: Option<T::Wire>) -> Result<T, DecodeError> {
    let wire = wire.ok_or_else(|| DecodeError::invalid("it is missing").within(field))?;
    read(field, wire)
}

/// Reads `field`, for which the contract states a default.
pub(super) fn or_default<T>(field: &str, wire: Option<T::Wire>) -> Result<T, DecodeError>
where
    T: Convert + Default,
{
    wire.map_or_else(|| Ok(T::default()), |wire| read(field, wire))
}

/// What is set of a `oneof`: protobuf gives none where it does not know what the peer set.
pub(super) fn known<K>(kind: Option<K>) -> Result<K, DecodeError> {
    kind.ok_or(DecodeError::UnknownVariant { message: String::new() })
}

/// A list that must not hold more than `max`.
pub(super) fn at_most<T>(field: &str, max: usize, list: Vec<T>) -> Result<Vec<T>, DecodeError> {
    if list.len() > max {
        let why = format!("it holds {}, at most {max} are allowed", list.len());
        return Err(DecodeError::invalid(why).within(field));
    }
    Ok(list)
}

/// Converts an enum whose variants have the same names on the wire, where 0 is `Unspecified`; with
/// `default` behind them, 0 is one of them.
macro_rules! convert_enum {
    (@ $type:ty, $wire:ty { $($variant:ident),+ } $($unset:pat)?) => {
        impl Convert for $type {
            type Wire = i32;

            fn to_wire(&self) -> i32 {
                let wire = match self {
                    $(Self::$variant => <$wire>::$variant,)+
                };
                wire.into()
            }

            fn from_wire(wire: i32) -> Result<Self, DecodeError> {
                match <$wire>::try_from(wire) {
                    $(Ok(<$wire>::$variant) => Ok(Self::$variant),)+
                    $($unset => Err(DecodeError::invalid("it is missing")),)?
                    Err(_) => known(None),
                }
            }
        }
    };
    ($type:ty, $wire:ty { $($variant:ident),+ $(,)? }) => {
        convert_enum!(@ $type, $wire { $($variant),+ } Ok(<$wire>::Unspecified));
    };
    ($type:ty, $wire:ty { $($variant:ident),+ $(,)? }, default) => {
        convert_enum!(@ $type, $wire { $($variant),+ });
    };
}
pub(super) use convert_enum;
