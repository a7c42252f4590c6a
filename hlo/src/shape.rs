//! Shapes: element types, dimensions, layouts, tuples; and their size in bytes.

use std::fmt;

macro_rules! element_types {
    ($($variant:ident $number:literal $name:literal $bits:literal),* $(,)?) => {
        /// The type of an array's elements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ElementType {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl ElementType {
            /// The type with this number in `xla_data.proto`, if it is one of array elements.
            pub fn from_number(number: i32) -> Option<ElementType> {
                match number {
                    $($number => Some(ElementType::$variant),)*
                    _ => None,
                }
            }

            /// The name in HLO text.
            pub fn name(self) -> &'static str {
                match self { $(ElementType::$variant => $name,)* }
            }

            /// Bits of information in one element; in memory it takes whole bytes unless its layout packs it.
            pub fn bits(self) -> u64 {
                match self { $(ElementType::$variant => $bits,)* }
            }
        }
    };
}

element_types! {
    Pred 1 "pred" 8,
    S1 30 "s1" 1, S2 26 "s2" 2, S4 21 "s4" 4, S8 2 "s8" 8, S16 3 "s16" 16, S32 4 "s32" 32, S64 5 "s64" 64,
    U1 31 "u1" 1, U2 27 "u2" 2, U4 22 "u4" 4, U8 6 "u8" 8, U16 7 "u16" 16, U32 8 "u32" 32, U64 9 "u64" 64,
    F16 10 "f16" 16, F32 11 "f32" 32, Bf16 16 "bf16" 16, F64 12 "f64" 64,
    F8e5m2 19 "f8e5m2" 8, F8e4m3 28 "f8e4m3" 8, F8e4m3fn 20 "f8e4m3fn" 8, F8e4m3b11fnuz 23 "f8e4m3b11fnuz" 8,
    F8e3m4 29 "f8e3m4" 8, F8e5m2fnuz 24 "f8e5m2fnuz" 8, F8e4m3fnuz 25 "f8e4m3fnuz" 8, F8e8m0fnu 33 "f8e8m0fnu" 8,
    F4e2m1fn 32 "f4e2m1fn" 4, F6e3m2fn 35 "f6e3m2fn" 6, F6e2m3fn 36 "f6e2m3fn" 6,
    C64 15 "c64" 64, C128 18 "c128" 128,
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an array lies in memory.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Layout {
    /// Dimension numbers from the fastest varying to the slowest.
    pub minor_to_major: Vec<i64>,
    /// Tiles, applied in order; each lists its sizes, the most major first.
    pub tiles: Vec<Vec<i64>>,
    /// Alignment of the padded size, in elements; 0 or 1 where there is none.
    pub tail_padding_elements: i64,
    /// Bits that an element takes in memory; 0 for the type's own size in bytes.
    pub element_bits: i64,
    /// The memory it lives in: 0 is the default one, others are the target's.
    pub memory_space: i64,
}

/// The shape of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayShape {
    /// Type of the elements.
    pub element_type: ElementType,
    /// Sizes, or their upper bounds where a dimension is dynamic.
    pub dimensions: Vec<u64>,
    /// Which dimensions are dynamic; empty where none is.
    pub dynamic: Vec<bool>,
    /// Layout in memory, where one is assigned.
    pub layout: Option<Layout>,
}

impl ArrayShape {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.dimensions.iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// Size in bytes, without the padding of tiles.
    pub fn bytes(&self) -> u64 {
        let packed = self.layout.as_ref().map_or(0, |layout| layout.element_bits.max(0) as u64);
        let bits = if packed > 0 { packed } else { self.element_type.bits().next_multiple_of(8) };
        self.elements().saturating_mul(bits).div_ceil(8)
    }

    /// Whether it has no dimensions.
    pub fn is_scalar(&self) -> bool {
        self.dimensions.is_empty()
    }
}

/// The shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An array.
    Array(ArrayShape),
    /// A tuple of values.
    Tuple(Vec<Shape>),
    /// A mutable buffer that holds an array.
    Buffer(ArrayShape),
    /// A token, which only orders side effects.
    Token,
    /// A value whose content XLA does not know.
    Opaque,
}

impl Shape {
    /// The array shape, if it is an array.
    pub fn as_array(&self) -> Option<&ArrayShape> {
        match self {
            Shape::Array(array) => Some(array),
            Shape::Tuple(_) | Shape::Buffer(_) | Shape::Token | Shape::Opaque => None,
        }
    }

    /// Bytes of all arrays in it, without tile padding and without the pointers of tuples.
    pub fn bytes(&self) -> u64 {
        match self {
            Shape::Array(array) | Shape::Buffer(array) => array.bytes(),
            Shape::Tuple(parts) => parts.iter().fold(0, |n, part| n.saturating_add(part.bytes())),
            Shape::Token | Shape::Opaque => 0,
        }
    }

    /// The part at a shape index: the path of tuple positions from the outside in.
    pub fn at(&self, index: &[i64]) -> Option<&Shape> {
        let Some((&first, rest)) = index.split_first() else { return Some(self) };
        match self {
            Shape::Tuple(parts) => parts.get(usize::try_from(first).ok()?)?.at(rest),
            Shape::Array(_) | Shape::Buffer(_) | Shape::Token | Shape::Opaque => None,
        }
    }

    /// Every part that is not a tuple, with its shape index, in order.
    pub fn leaves(&self) -> Vec<(Vec<i64>, &Shape)> {
        let mut leaves = Vec::new();
        self.collect_leaves(&mut Vec::new(), &mut leaves);
        leaves
    }

    fn collect_leaves<'a>(&'a self, index: &mut Vec<i64>, leaves: &mut Vec<(Vec<i64>, &'a Shape)>) {
        match self {
            Shape::Tuple(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    index.push(i as i64);
                    part.collect_leaves(index, leaves);
                    index.pop();
                }
            }
            Shape::Array(_) | Shape::Buffer(_) | Shape::Token | Shape::Opaque => {
                leaves.push((index.clone(), self))
            }
        }
    }

    /// The shape as HLO text gives it where layouts are left out: `f32[4,8]`, `(s32[], f32[4])`.
    pub fn without_layout(&self) -> impl fmt::Display + '_ {
        WithoutLayout(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, layouts: bool) -> fmt::Result {
        match self {
            Shape::Array(array) => array.write(f, layouts),
            Shape::Buffer(array) => {
                f.write_str("b(")?;
                array.write(f, layouts)?;
                f.write_str(")")
            }
            Shape::Token => f.write_str("token[]"),
            Shape::Opaque => f.write_str("opaque[]"),
            Shape::Tuple(parts) => {
                f.write_str("(")?;
                for (i, part) in parts.iter().enumerate() {
                    f.write_str(separator(i))?;
                    if let Some(comment) = index_comment(i) {
                        f.write_str(&comment)?;
                    }
                    part.write(f, layouts)?;
                }
                f.write_str(")")
            }
        }
    }
}

/// What stands before the `i`th part of a list.
pub(super) fn separator(i: usize) -> &'static str {
    if i == 0 { "" } else { ", " }
}

/// HLO text numbers every fifth part of a list.
pub(super) fn index_comment(i: usize) -> Option<String> {
    (i != 0 && i.is_multiple_of(5)).then(|| format!("/*index={i}*/"))
}

struct WithoutLayout<'a>(&'a Shape);

impl fmt::Display for WithoutLayout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, false)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, true)
    }
}

impl ArrayShape {
    fn write(&self, f: &mut fmt::Formatter<'_>, layouts: bool) -> fmt::Result {
        write!(f, "{}[", self.element_type)?;
        for (i, size) in self.dimensions.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let bound = if self.dynamic.get(i) == Some(&true) { "<=" } else { "" };
            write!(f, "{comma}{bound}{size}")?;
        }
        f.write_str("]")?;
        match &self.layout {
            Some(layout) if layouts => write!(f, "{layout}"),
            _ => Ok(()),
        }
    }
}

/// How `xla_data.proto` marks a tile dimension that is merged with the next more minor one.
const COMBINED: i64 = i64::MIN;

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = String::new();
        if !self.tiles.is_empty() {
            rest.push('T');
            for tile in &self.tiles {
                let sizes: Vec<String> = tile
                    .iter()
                    .map(|&d| if d == COMBINED { "*".to_owned() } else { d.to_string() })
                    .collect();
                rest.push_str(&format!("({})", sizes.join(",")));
            }
        }
        for (letter, value, usual) in
            [('L', self.tail_padding_elements, 1), ('E', self.element_bits, 0), ('S', self.memory_space, 0)]
        {
            if value != usual && value != 0 {
                rest.push_str(&format!("{letter}({value})"));
            }
        }
        let order: Vec<String> = self.minor_to_major.iter().map(i64::to_string).collect();
        match (order.is_empty(), rest.is_empty()) {
            (true, true) => Ok(()),
            (_, true) => write!(f, "{{{}}}", order.join(",")),
            (_, false) => write!(f, "{{{}:{rest}}}", order.join(",")),
        }
    }
}
