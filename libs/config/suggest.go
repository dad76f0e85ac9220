package config

// DidYouMean suggests the known name that is nearest to an unknown one. It returns "" if more than two letters differ (or half of a short
// word).
func DidYouMean(unknown string, known []string) string {
	best, nearest := "", min(2, len(unknown)/2)+1
	for _, k := range known {
		if d := distance(unknown, k); d < nearest {
			best, nearest = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance returns the Levenshtein distance: the number of bytes to insert, remove or change to get b from a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
