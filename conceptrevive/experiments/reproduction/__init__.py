"""The paper's tables and figures (§4), each a file of its own: `conceptrevive reproduce`."""
