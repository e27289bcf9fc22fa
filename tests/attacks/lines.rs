//! Store lines that strangers cause: few, however often they try.
