# Prints what breaks the house's rules, a line each. Arguments: source files, by their paths from the root; see
# check_rules.cmake.
function complain(line, what) { print FILENAME ":" line ": " what }

function file_ends() {
  if (lines > 400) print file ": a file of " lines " lines, expected at most 400"
  if (raw) print file ": a raw string that does not end, so that the rest was not checked"
}

# The string literals of a line.
function literals(code,   found) {
  gsub(/'\\?"'/, "", code)  # the character "
  while (match(code, /\/\/|"([^"\\]|\\.)*"/) && substr(code, RSTART, 2) != "//") {
    found = found substr(code, RSTART, RLENGTH)
    code = substr(code, RSTART + RLENGTH)
  }
  return found
}

BEGIN { raw_begins = "(^|[^A-Za-z0-9_\"])R\"[A-Za-z_]*[(]" }
FNR == 1 {
  file_ends()
  file = FILENAME
  raw = 0
  split("", start)
}
{
  lines = FNR
  comment = !raw && /^ *\/\//
  # Lines that begin within a raw string are text, whatever they look like.
  text = raw
  rest = $0
  if (!raw || sub(/^.*\)[A-Za-z_]*"/, "", rest)) {
    sub(/R"[A-Za-z_]*\(.*\)[A-Za-z_]*"/, "", rest)
    raw = !comment && rest ~ raw_begins
  }
}

# A function begins with the nearest line above its closing brace that stands in the same column, however many lines its
# signature has: layout is clang-format's, and a test holds to that. The same finds the blocks within a function, which
# are shorter than it.
!text && !comment && match($0, /^ *[^ ]/) && !/^ *[#)}]/ { start[RLENGTH] = FNR }
!text && /^ *\}( *\/\/.*)?$/ && !/namespace/ && match($0, /^ *\}/) {
  size = FNR - start[RLENGTH] + 1
  if (start[RLENGTH] && size > 80) complain(start[RLENGTH], "a function of " size " lines, expected at most 80")
  delete start[RLENGTH]
}

# Passes ask layers through virtual answers. One file may ask for a type, for those who know what they look into.
!comment && /dynamic_(pointer_)?cast|typeid/ && FILENAME != "layers/role.h" {
  complain(FNR, "a question after a class; layers answer passes, and layer_as (layers/role.h) tests")
}

# Libraries know no command line: which flag an option comes from is not theirs to say.
FILENAME ~ /^(core|autograd|layers|optim|data|apps\/training)\// && !comment &&
    (text || $0 ~ raw_begins ? $0 : literals($0)) ~ /--[a-z{]/ {
  complain(FNR, "a flag of the command line in a library")
}
END { file_ends() }
