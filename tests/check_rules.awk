# Prints what breaks the house's rules, a line each. Files as arguments; see check_rules.cmake.
FNR == 1 {
  if (lines > 400) print last ": " lines " lines, expected at most 400"
  last = FILENAME
  open = ""
}
{ lines = FNR }

# A function's body: from a line that ends in { to the } below its first character. Layout is clang-format's.
/^( |  )?[A-Za-z~[].*\{( *\/\/.*)?$/ && !/^ *(namespace|class|struct|union|enum|extern)/ && !/= *\{/ && open == "" {
  match($0, /^ */)
  open = substr($0, 1, RLENGTH) "}"
  name = $0
  from = FNR
}
open != "" && substr($0, 1, length(open)) == open {
  if (FNR - from + 1 > 80) print FILENAME ":" from ": a function of " FNR - from + 1 " lines, expected at most 80"
  open = ""
}

# The one place that may ask: the helper that passes use to find a role.
/dynamic_cast|typeid/ && !/^ *\/\// && FILENAME != "layers/role.h" { print FILENAME ":" FNR ": dynamic_cast or typeid: a layer answers for itself" }

# Libraries know no command line.
FILENAME ~ /(^|\/)(core|autograd|layers|optim|data|apps\/training)\// && !/^ *\/\// && /"[^"]*--[a-z]/ {
  print FILENAME ":" FNR ": a flag of the command line in a library"
}
END { if (lines > 400) print last ": " lines " lines, expected at most 400" }
