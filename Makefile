# Thin on purpose: ./megilance does the work.
.DEFAULT_GOAL := help
.PHONY: help up test check demo

help: ## show these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

up: ## start everything on this machine
	@./megilance up

test: ## run the tests
	@./megilance test

check: ## run every check that CI runs
	@./megilance check

demo: ## drive the whole story, with proof at the end
	@./megilance demo
