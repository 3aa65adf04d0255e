// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), decoding only: what we send is literal.
#pragma once

#include <string>
#include <string_view>

namespace te {

/// Appends the decoded octets to `out`, at most 8/5 of the input. False: the code of EOS, or padding that is longer
/// than seven bits or not all ones; `out` then holds what came before.
bool huffman_decode(std::string_view coded, std::string& out);

}  // namespace te
