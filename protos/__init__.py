"""The interfaces on the wire: .proto texts and the modules generated from them."""
