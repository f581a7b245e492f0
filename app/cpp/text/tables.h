// Whose tables of characters WordPiece and byte-level BPE go by: toolchain/agent/text.py names the same.
#pragma once

namespace edge_app {

extern const char* const kTextTables;

}  // namespace edge_app
