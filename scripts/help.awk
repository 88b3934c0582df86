# Prints the targets of a Makefile with their `## text`, under their `##@ heading`, in 80 columns.
BEGIN { FS = ":.*## "; WIDTH = 80; TEXT = 19 }

/^##@ / { printf "\n%s\n", substr($0, 5) }

/^[a-zA-Z0-9_%-]+:.*## / {
  printf "  %-16s", $1
  column = TEXT - 1
  count = split($2, words, " ")
  for (number = 1; number <= count; number++) {
    if (column + 1 + length(words[number]) > WIDTH) {
      printf "\n%" (TEXT - 1) "s", ""
      column = TEXT - 1
    }
    printf " %s", words[number]
    column += 1 + length(words[number])
  }
  printf "\n"
}
