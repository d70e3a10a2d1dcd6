module github.com/isrd/isrd

go 1.26
