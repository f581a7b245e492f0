"""Long and large: what many deploys leave behind, and what much data and a large model take."""
