//! A recogniser for the one pickle that `torch.save(tensor)` writes. It executes nothing: it knows
//! the few instructions of such a program, calls no function, and refuses every other instruction
//! or name.
//!
//! Nothing is ever read back from the memo, so the values that exist are never larger than the
//! program's own text.

use crate::error::shortened;

/// The stack of a bare tensor holds at most a dozen values.
const MAX_STACK: usize = 64;

/// The tensor that a pickle describes; its numbers are in another file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// Name of the storage class, such as `FloatStorage`.
    pub storage: String,
    /// Name of the file under `data/` that holds the numbers.
    pub key: String,
    /// Numbers in the storage.
    pub stored: usize,
    /// First number of the tensor.
    pub offset: usize,
    /// The axes.
    pub axes: Vec<usize>,
    /// Numbers between neighbours along each axis.
    pub strides: Vec<usize>,
}

/// A value on the program's stack.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Mark,
    Bool(bool),
    Int(i64),
    Text(String),
    Global(String),
    Tuple(Vec<Value>),
    Storage {
        class: String,
        key: String,
        stored: usize,
    },
    /// An empty `OrderedDict`: the hooks that torch always writes.
    NoHooks,
    Tensor(Tensor),
}

/// Recognises the program of one bare tensor. The error completes "expected a bare tensor, found
/// ...".
pub(super) fn tensor(program: &[u8]) -> Result<Tensor, String> {
    let mut machine = Machine { rest: program, stack: Vec::new() };
    loop {
        if let Some(tensor) = machine.step()? {
            return if machine.rest.is_empty() {
                Ok(tensor)
            } else {
                Err("bytes behind the end of the pickle".into())
            };
        }
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
}

impl<'a> Machine<'a> {
    /// Runs one instruction; gives the tensor if it was the last one.
    fn step(&mut self) -> Result<Option<Tensor>, String> {
        let code = self.byte()?;
        match code {
            // PROTO: versions 2 to 5 write these instructions alike.
            0x80 => match self.byte()? {
                2..=5 => {}
                version => return Err(format!("pickle protocol {version}")),
            },
            // FRAME: a length that only speeds up reading.
            0x95 => self.bytes(8).map(|_| ())?,
            // BINPUT, LONG_BINPUT, MEMOIZE: store a value for later, which a bare tensor never
            // reads back.
            b'q' => self.bytes(1).map(|_| ())?,
            b'r' => self.bytes(4).map(|_| ())?,
            0x94 => {}
            b'(' => self.push(Value::Mark)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => self.number(1)?,
            b'M' => self.number(2)?,
            b'J' => {
                let four = self.array()?;
                self.push(Value::Int(i64::from(i32::from_le_bytes(four))))?;
            }
            // LONG1: how torch writes sizes beyond 31 bits. The topmost bit of the last byte would
            // make the number negative.
            0x8a => {
                let length = usize::from(self.byte()?);
                let negative = length
                    .checked_sub(1)
                    .and_then(|last| self.rest.get(last))
                    .is_some_and(|&byte| byte > 127);
                if length > 8 || negative {
                    return Err("a whole number outside the range of sizes".into());
                }
                self.number(length)?;
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let length = self.byte()?;
                self.text(usize::from(length))?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.global(&module, &name)?,
                _ => return Err("a name that is no text".into()),
            },
            b')' => self.push(Value::Tuple(Vec::new()))?,
            0x85..=0x87 => self.tuple(usize::from(code - 0x84))?,
            b't' => {
                let mark = self
                    .stack
                    .iter()
                    .rposition(|value| *value == Value::Mark)
                    .ok_or("a tuple without a beginning")?;
                let items = self.stack.split_off(mark + 1);
                self.stack.truncate(mark);
                self.push_tuple(items)?;
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'.' => {
                return match (self.pop()?, self.stack.is_empty()) {
                    (Value::Tensor(tensor), true) => Ok(Some(tensor)),
                    _ => Err("something else than one tensor".into()),
                };
            }
            b'}' | b']' | 0x8f => {
                return Err("a dictionary, list or set (save the tensor itself)".into());
            }
            b'h' | b'j' => {
                return Err("a pickle that reads its memo, as no bare tensor does".into());
            }
            other => return Err(format!("pickle instruction 0x{other:02x}")),
        }
        Ok(None)
    }

    fn bytes(&mut self, number: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) =
            self.rest.split_at_checked(number).ok_or("a pickle that ends too early")?;
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.bytes(N)?;
        bytes.first_chunk().copied().ok_or_else(|| "a pickle that ends too early".to_owned())
    }

    fn number(&mut self, bytes: usize) -> Result<(), String> {
        let mut eight = [0; 8];
        let found = self.bytes(bytes)?;
        let low = eight.get_mut(..bytes).ok_or("a whole number of more than 8 bytes")?;
        low.copy_from_slice(found);
        let value = i64::from_le_bytes(eight);
        self.push(Value::Int(value))
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text =
            std::str::from_utf8(self.bytes(length)?).map_err(|_| "text that is not UTF-8")?;
        self.push(Value::Text(text.to_string()))
    }

    fn line(&mut self) -> Result<String, String> {
        let end =
            self.rest.iter().position(|&byte| byte == b'\n').ok_or("a name without an end")?;
        let line = std::str::from_utf8(self.bytes(end)?).map_err(|_| "a name that is not UTF-8")?;
        self.bytes(1)?;
        Ok(line.to_string())
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.stack.len() == MAX_STACK {
            return Err("more values than a bare tensor has".into());
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "a pickle that takes more than it has".to_string())
    }

    fn tuple(&mut self, number: usize) -> Result<(), String> {
        let start =
            self.stack.len().checked_sub(number).ok_or("a pickle that takes more than it has")?;
        let items = self.stack.split_off(start);
        self.push_tuple(items)
    }

    /// The arguments of a call may themselves be tuples; nothing in a bare tensor is nested deeper.
    fn push_tuple(&mut self, items: Vec<Value>) -> Result<(), String> {
        let nested = |value: &Value| matches!(value, Value::Tuple(inside) if inside.iter().any(|value| matches!(value, Value::Tuple(_))));
        if items.iter().any(nested) {
            return Err("tuples nested three deep".into());
        }
        self.push(Value::Tuple(items))
    }

    /// A name is only compared, nothing is imported. Names that no bare tensor needs are refused at
    /// once.
    fn global(&mut self, module: &str, name: &str) -> Result<(), String> {
        let full = format!("{module}.{name}");
        let known = full == "torch._utils._rebuild_tensor_v2"
            || full == "collections.OrderedDict"
            || module == "torch" && name.ends_with("Storage");
        if !known {
            return Err(format!("the Python object {:?}", shortened(&full)));
        }
        self.push(Value::Global(full))
    }

    /// BINPERSID: the tuple ("storage", class, key, device, number of elements).
    fn storage(&mut self) -> Result<(), String> {
        let Value::Tuple(items) = self.pop()? else {
            return Err("a storage that is no tuple".into());
        };
        let [
            Value::Text(kind),
            Value::Global(class),
            Value::Text(key),
            Value::Text(_),
            Value::Int(stored),
        ] = &items[..]
        else {
            return Err("a storage described in another way".into());
        };
        let (Some(class), Ok(stored)) = (class.strip_prefix("torch."), usize::try_from(*stored))
        else {
            return Err("a storage described in another way".into());
        };
        if kind != "storage" {
            return Err(format!("a reference of kind {kind:?}"));
        }
        self.push(Value::Storage { class: class.to_string(), key: key.clone(), stored })
    }

    /// REDUCE: recognises the two calls of a bare tensor and makes a description of each.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Tuple(arguments), Value::Global(function)) = (arguments, function) else {
            return Err("a call of something that is no function".into());
        };
        let value = match (function.as_str(), &arguments[..]) {
            ("collections.OrderedDict", []) => Value::NoHooks,
            (
                "torch._utils._rebuild_tensor_v2",
                [
                    Value::Storage { class, key, stored },
                    Value::Int(offset),
                    Value::Tuple(axes),
                    Value::Tuple(strides),
                    Value::Bool(_),
                    Value::NoHooks,
                ],
            ) => Value::Tensor(Tensor {
                storage: class.clone(),
                key: key.clone(),
                stored: *stored,
                offset: usize::try_from(*offset).map_err(|_| "a negative offset")?,
                axes: sizes(axes)?,
                strides: sizes(strides)?,
            }),
            _ => return Err(format!("a call of {function} with other arguments")),
        };
        self.push(value)
    }
}

fn sizes(values: &[Value]) -> Result<Vec<usize>, String> {
    let size = |value: &Value| match value {
        Value::Int(number) => usize::try_from(*number).map_err(|_| format!("a size of {number}")),
        _ => Err("a size that is no number".to_string()),
    };
    values.iter().map(size).collect()
}
